package cli

import (
	"context"
	"encoding/json"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/operator"
)

// writeMail has the admin's API show what mails say, which is written by those who send them.
func writeMail(db *store.DB) func(context.Context, string, json.RawMessage) (api.WrittenMail, error) {
	return func(ctx context.Context, organizationID string, input json.RawMessage) (api.WrittenMail, error) {
		m, err := jobs.ShowMail(ctx, db, organizationID, input)
		if err != nil {
			return api.WrittenMail{}, err
		}
		w := api.WrittenMail{Subject: m.Subject, Text: m.Text, HTML: m.HTML, ReplyTo: m.ReplyTo, Why: m.Why}
		for _, f := range m.Files {
			w.Attachments = append(w.Attachments, operator.MailAttachment{Filename: f.Name, ContentType: f.ContentType, Bytes: f.Bytes})
		}
		return w, nil
	}
}
