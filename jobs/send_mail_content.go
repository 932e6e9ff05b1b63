package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/payaid/payaid/events/outbox"
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
)

// content is a mail ready for its recipients. Where readers can unsubscribe each gets a link of its own, and with it
// bytes of its own.
type content struct {
	posting *posting
	message mail.Message
	shared  []byte // nil: every recipient has their own
}

// compose makes the content once for an attempt. A mail that was not composed before takes the date of today.
func (s *posting) compose(ctx context.Context) (*content, error) {
	if s.content != nil {
		return s.content, nil
	}
	m := s.input.message()
	m.ID, m.From, m.Date = s.task.ID, s.Mailing.From, time.Now().UTC().Truncate(time.Second)
	m.From.Name = s.mail.OrganizationName
	if s.mail.DatedAt != nil {
		m.Date = s.mail.DatedAt.UTC()
	}
	if len(m.ReplyTo) == 0 && s.mail.ReplyTo != nil {
		if a, err := mail.ParseAddress(*s.mail.ReplyTo); err == nil {
			m.ReplyTo = append(m.ReplyTo, a)
		}
	}
	if err := s.fill(ctx, &m); err != nil {
		return nil, err
	}
	c := &content{posting: s, message: m}
	raw, err := m.Compose()
	if err != nil {
		return nil, unsayable(err)
	}
	if !s.unsubscribable() {
		c.shared = raw
	}
	if err := s.DB.DescribeMail(ctx, s.task.OrganizationID, s.task.ID, m.Subject, len(raw), m.Date); err != nil {
		return nil, err
	}
	if s.mail.DatedAt == nil {
		s.mail.DatedAt = &m.Date
	}
	s.content = c
	return c, nil
}

// unsayable is the failure of a mail that can't be composed.
func unsayable(err error) error {
	var bad *mail.FieldError
	if !errors.As(err, &bad) {
		return err
	}
	return &Failure{Code: codeMailContent, Title: "Not a mail", Detail: bad.Detail, Pointer: "/" + bad.Field}
}

// unsubscribable reports whether readers may unsubscribe from the mail's stream: not from what their own doing
// brings about.
func (s *posting) unsubscribable() bool {
	return s.input.stream() != transactional && s.Mailing.PublicURL != ""
}

// nobody stands for every recipient in the link of a letter, which is written once for all of them: recipients count
// from 1. Its ticket has the length and letters of theirs, and nobody else can make it, so it stands nowhere else.
const nobody = 0

// unsubscribeLink is where the recipient at a position unsubscribes.
func (s *posting) unsubscribeLink(ctx context.Context, position int) (string, error) {
	t, err := s.Mailing.Tickets.Unsubscribe(ctx, ticket.Ref{OrganizationID: s.task.OrganizationID, MessageID: s.task.ID, Recipient: position})
	return s.Mailing.PublicURL + "/unsubscribe/" + t, err
}

// linked gives the data of a letter the link to unsubscribe, unless its sender has one of their own.
func (s *posting) linked(ctx context.Context, data json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if !s.unsubscribable() || json.Unmarshal(data, &fields) != nil || fields == nil || isGiven(fields[letters.Unsubscribe]) {
		return data, nil // data that are no object are the template's to refuse
	}
	link, err := s.unsubscribeLink(ctx, nobody)
	if err != nil {
		return nil, err
	}
	if fields[letters.Unsubscribe], err = json.Marshal(link); err != nil {
		return nil, err
	}
	var linked bytes.Buffer
	encoder := json.NewEncoder(&linked)
	encoder.SetEscapeHTML(false) // data have a length that they may not grow beyond
	err = encoder.Encode(fields)
	return bytes.TrimSpace(linked.Bytes()), err
}

// to is the mail as one recipient gets it.
func (c *content) to(ctx context.Context, r *store.RecipientToSend) ([]byte, error) {
	if c.shared != nil {
		return c.shared, nil
	}
	theirs, err := c.posting.unsubscribeLink(ctx, r.Position)
	if err != nil {
		return nil, err
	}
	every, err := c.posting.unsubscribeLink(ctx, nobody)
	if err != nil {
		return nil, err
	}
	m := c.message
	m.Unsubscribe = theirs
	// HTML may have the link escaped; the ticket at its end looks the same everywhere.
	own := strings.NewReplacer(path.Base(every), path.Base(theirs))
	m.Text, m.HTML = own.Replace(m.Text), own.Replace(m.HTML)
	raw, err := m.Compose()
	if err != nil {
		return nil, unsayable(err)
	}
	return raw, nil
}

func (s *posting) ref(r *store.RecipientToSend) ticket.Ref {
	return ticket.Ref{OrganizationID: s.task.OrganizationID, MessageID: s.task.ID, Recipient: r.Position}
}

// envelope is what the server is told. What comes back names the recipient by a ticket that nobody else can make.
func (s *posting) envelope(ctx context.Context, r *store.RecipientToSend) (mail.Envelope, error) {
	e := mail.Envelope{ID: fmt.Sprintf("%s/%d", s.task.ID, r.Position), From: s.Mailing.From.Address, To: r.Address}
	if s.Mailing.Bounces.IsZero() {
		return e, nil
	}
	t, err := s.Mailing.Tickets.ReturnPath(ctx, s.ref(r))
	if err != nil {
		return e, err
	}
	// The ticket is also the envelope's id: a server on the way may drop the return path's extension.
	e.ID, e.From = t, s.Mailing.Bounces.With(t)
	// A report of success costs a mail coming in for each going out: where not to know is a matter of hands.
	e.Success = s.Mailing.Receipts || s.mail.OnUnknown == store.UnknownHold
	return e, nil
}

func newEventID() string { return outbox.NewID() }
