package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payaid/payaid/events/outbox"
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
	if !c.unsubscribable() {
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
func (c *content) unsubscribable() bool {
	return c.message.Stream != transactional && c.posting.Mailing.PublicURL != ""
}

// to is the mail as one recipient gets it.
func (c *content) to(ctx context.Context, r *store.RecipientToSend) ([]byte, error) {
	if c.shared != nil {
		return c.shared, nil
	}
	t, err := c.posting.Mailing.Tickets.Unsubscribe(ctx, c.posting.ref(r))
	if err != nil {
		return nil, err
	}
	m := c.message
	m.Unsubscribe = c.posting.Mailing.PublicURL + "/unsubscribe/" + t
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
