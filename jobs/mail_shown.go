package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/payaid/payaid/internal/store"
)

// A ShownMail is what a mail says, as it would be written now, for an operator who asks.
type ShownMail struct {
	Subject, Text, HTML string
	ReplyTo             string
	Files               []ShownFile
	Why                 string // why it can't be written now, "" where it can
}

// A ShownFile is an attachment without its content.
type ShownFile struct {
	Name, ContentType string
	Bytes             int64 // 0: it is drawn when the mail is sent
}

// ShowMail writes what the input of a mail.send says, and sends nothing. Readers' own links to unsubscribe are left out.
func ShowMail(ctx context.Context, db *store.DB, organizationID string, input json.RawMessage) (ShownMail, error) {
	s := &posting{sendMail: sendMail{Deps{DB: db}}, task: &Task{Job: store.Job{OrganizationID: organizationID}}}
	if err := json.Unmarshal(input, &s.input); err != nil {
		return ShownMail{}, fmt.Errorf("read the input of a mail of %s: %w", organizationID, err)
	}
	in := s.input
	shown := ShownMail{Subject: valueOr(in.Subject, ""), Text: valueOr(in.Text, ""), HTML: valueOr(in.HTML, ""), ReplyTo: valueOr(in.ReplyTo, "")}
	for _, a := range in.Attachments {
		f := ShownFile{Name: a.Filename, ContentType: a.ContentType}
		if a.ContentBase64 != nil {
			f.Bytes = int64(len(*a.ContentBase64)) / 4 * 3
		} else {
			f.ContentType = "application/pdf"
		}
		shown.Files = append(shown.Files, f)
	}
	if in.Template == nil {
		return shown, nil
	}
	l, err := s.letter(ctx, *in.Template)
	var failure *Failure
	if errors.As(err, &failure) {
		shown.Why = failure.Detail
		return shown, nil
	}
	if err != nil {
		return ShownMail{}, err
	}
	shown.Subject, shown.Text, shown.HTML = l.Subject, l.Text, l.HTML
	return shown, nil
}
