package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// A WrittenMail is what a mail says, as it would be written now.
type WrittenMail struct {
	Subject, Text, HTML string
	ReplyTo             string
	Attachments         []operator.MailAttachment
	// Why is why it can't be written now, "" where it can: what it is about has changed or gone meanwhile.
	Why string
}

type revealMailOutput struct{ Body operator.MailContent }

// revealMail shows what a mail says, and what servers replied. That it was asked for is noted.
func (s *Server) revealMail(ctx context.Context, in *adminMailInput) (*revealMailOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var m store.MailDetail
	var input json.RawMessage
	err = s.act(ctx, act{Action: "mail.reveal", Target: "mail", ID: id}, func(tx pgx.Tx, note *act) (err error) {
		if m, err = anyMail(ctx, tx, id); err != nil {
			return err
		}
		note.OrganizationID = m.OrganizationID
		note.After = map[string]any{"state": m.State, "recipients": len(m.Recipients)}
		input, err = store.MailInput(ctx, tx, m.OrganizationID, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	v := operator.MailContent{Subject: m.Subject, Attachments: []operator.MailAttachment{}, Replies: []operator.MailReply{},
		Events: mailEventsOf(m, func(d json.RawMessage) json.RawMessage { return d })}
	for _, r := range m.Recipients {
		if r.Reply != nil {
			v.Replies = append(v.Replies, operator.MailReply{Position: r.Position, Address: r.Address, Reply: *r.Reply})
		}
	}
	if err := s.written(ctx, m, input, &v); err != nil {
		return nil, err
	}
	return &revealMailOutput{v}, nil
}

// written adds what the mail says, from what its job was given.
func (s *Server) written(ctx context.Context, m store.MailDetail, input json.RawMessage, v *operator.MailContent) error {
	note := func(text string) { v.Note = &text }
	replyTo := ""
	switch {
	case input == nil:
		note("Its job is no longer kept, or none was made; what it said is not known any more.")
	case s.WriteMail == nil:
		note("This process can't write mails.")
	default:
		w, err := s.WriteMail(ctx, m.OrganizationID, input)
		if err != nil {
			return err
		}
		if w.Why != "" {
			note("It can't be written any more: " + w.Why)
		} else {
			note("As it would be written now, from the records and the template of today; what was sent is not kept. Each reader's own link to unsubscribe is left out.")
			if v.Subject == nil {
				v.Subject = unlessBlank(w.Subject)
			}
			v.Text, v.HTML = unlessBlank(w.Text), unlessBlank(w.HTML)
		}
		v.Attachments, replyTo = append(v.Attachments, w.Attachments...), w.ReplyTo
	}
	v.Headers = mailHeadersOf(m, v.Subject, replyTo)
	return nil
}

// mailHeadersOf is what stands above a mail, as far as this process knows: the sender's address is known to those who
// send.
func mailHeadersOf(m store.MailDetail, subject *string, replyTo string) []operator.MailHeader {
	h := []operator.MailHeader{}
	add := func(name, value string) {
		if value != "" {
			h = append(h, operator.MailHeader{Name: name, Value: value})
		}
	}
	if m.DatedAt != nil {
		add("Date", m.DatedAt.UTC().Format(time.RFC1123Z))
	}
	add("Message-ID", "<"+m.ID+"@…>")
	add("Reply-To", replyTo)
	people := make(map[string][]string)
	for _, r := range m.Recipients {
		one := r.Address
		if r.Name != nil && *r.Name != "" {
			one = *r.Name + " <" + r.Address + ">"
		}
		people[r.Field] = append(people[r.Field], one)
	}
	add("To", strings.Join(people["to"], ", "))
	add("Cc", strings.Join(people["cc"], ", "))
	if subject != nil {
		add("Subject", *subject)
	}
	return h
}

type adminSettleInput struct {
	ID   string `path:"id"`
	Body operator.SettleMail
}

// settleAnyMail lets the operator decide what no report did.
func (s *Server) settleAnyMail(ctx context.Context, in *adminSettleInput) (*adminMailOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	var v operator.MailTrail
	m := MailSettlement{MailID: id, Outcome: in.Body.Outcome}
	if in.Body.Recipient != nil {
		m.Recipient = strings.TrimSpace(*in.Body.Recipient)
	}
	err = s.act(ctx, act{Action: "mail.settle", Target: "mail", ID: id}, func(tx pgx.Tx, note *act) error {
		was, err := anyMail(ctx, tx, id)
		if err != nil {
			return err
		}
		m.OrganizationID, note.OrganizationID = was.OrganizationID, was.OrganizationID
		note.Before = statesOfMail(was)
		origin := x.origin()
		origin.OrganizationID = m.OrganizationID
		facts, _, err := m.Settle(ctx, tx, origin, s.placeOf)
		if err != nil {
			return err
		}
		if len(facts) > 0 {
			if err := outbox.Append(ctx, tx, origin, facts...); err != nil {
				return err
			}
		}
		now, err := store.MailIn(ctx, tx, m.OrganizationID, id)
		if err != nil {
			return err
		}
		note.After = statesOfMail(now)
		v, err = mailTrailIn(ctx, tx, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Hints.OutboxChanged()
	s.Hints.JobChanged(id)
	return &adminMailOutput{v}, nil
}

// statesOfMail is what the audit log says of a mail: no addresses.
func statesOfMail(m store.MailDetail) any {
	states := make(map[int]string, len(m.Recipients))
	for _, r := range m.Recipients {
		states[r.Position] = r.State
	}
	return map[string]any{"state": m.State, "recipients": states}
}
