package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// A posting is one attempt to bring a mail to all of its recipients.
type posting struct {
	sendMail
	task  *Task
	input mailInput
	mail  store.MailToSend

	content *content // composed when the first recipient needs it
	until   *Wait    // the channel is ill: nothing more is tried in this attempt
}

// all tries every recipient that is due. Its error is one of ours, or the end of the attempt.
func (s *posting) all(ctx context.Context) error {
	for i := range s.mail.Recipients {
		if err := s.one(ctx, &s.mail.Recipients[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *posting) one(ctx context.Context, r *store.RecipientToSend) error {
	if r.State == store.MailUnknown {
		if err := s.unknown(ctx, r); err != nil {
			return err
		}
	}
	switch {
	case r.State != store.MailQueued && r.State != store.MailDeferred:
		return nil
	case r.Suppressed != nil:
		return s.settle(ctx, r, store.Sent{State: store.MailSuppressed, Uncounted: true}, *r.Suppressed)
	case s.until != nil, r.NextAttemptAt != nil && time.Until(*r.NextAttemptAt) > time.Second:
		return nil
	}
	return s.send(ctx, r)
}

// unknown sends again to a recipient of whom nobody knows, when no evidence came in time and the sender wants it so.
func (s *posting) unknown(ctx context.Context, r *store.RecipientToSend) error {
	if s.mail.OnUnknown == store.UnknownHold || time.Until(s.evidenceBy(r)) > 0 {
		return nil
	}
	err := s.DB.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := store.ResendUnknown(ctx, tx, s.task.OrganizationID, s.task.ID, r.Position); err != nil {
			return err
		}
		_, err := store.AppendMailEvent(ctx, tx, s.task.OrganizationID, s.task.ID, store.MailEvent{
			ID: newEventID(), Position: r.Position, Type: "resent"})
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	if err == nil {
		r.State = store.MailQueued
	}
	return nil
}

// evidenceBy is when a report that settles an unknown recipient should have come.
func (s *posting) evidenceBy(r *store.RecipientToSend) time.Time {
	if r.UnknownAt == nil || s.Mailing.Bounces.IsZero() {
		return time.Time{}
	}
	return r.UnknownAt.Add(s.Mailing.Evidence)
}

func (s *posting) send(ctx context.Context, r *store.RecipientToSend) error {
	c, err := s.compose(ctx)
	if err != nil {
		return err
	}
	envelope, err := s.envelope(ctx, r)
	if err != nil {
		return err
	}
	content, err := c.to(ctx, r)
	if err != nil {
		return err
	}
	claim, begun := newEventID(), false
	receipt, err := s.Mailing.Mailer.Send(ctx, envelope, content, func(ctx context.Context) error {
		// Once it was asked for it may be done, whatever came back.
		begun = true
		return s.DB.BeginSending(ctx, s.task.Hold(), r.Position, claim)
	})
	if !begun {
		claim = ""
	}
	return s.answered(ctx, r, claim, receipt, err)
}

// answered writes down what became of a try.
func (s *posting) answered(ctx context.Context, r *store.RecipientToSend, claim string, receipt mail.Receipt, err error) error {
	if err == nil {
		return s.settle(ctx, r, store.Sent{Claim: claim, State: store.MailAccepted, Code: receipt.Code, Reply: receipt.Reply,
			QueueID: receipt.QueueID}, "")
	}
	var refusal *mail.Refusal
	if !errors.As(err, &refusal) {
		if errors.Is(err, store.ErrConflict) {
			return err // the job was ended, or somebody else has it
		}
		// Nothing was sent: the process stops, or the database is away.
		if again := s.back(ctx, r, claim); again != nil {
			return errors.Join(err, again)
		}
		return fmt.Errorf("send mail %s to recipient %d: %w", s.task.ID, r.Position, err)
	}
	sent := store.Sent{Claim: claim, Code: refusal.Code, Status: refusal.Enhanced, Reply: refusal.Reply}
	switch refusal.Class {
	case mail.Channel:
		s.until = s.channelWait(refusal)
		return s.back(ctx, r, claim)
	case mail.Unknown:
		sent.State = store.MailUnknown
	case mail.Deferred:
		if next := time.Now().Add(mailBackoff(r.Attempts + 1)); next.Before(s.expires()) {
			sent.State, sent.NextAttemptAt = store.MailDeferred, &next
			break
		}
		sent.State = store.MailFailed
		return s.settle(ctx, r, sent, "expired")
	default:
		sent.State = store.MailFailed
	}
	return s.settle(ctx, r, sent, string(refusal.Class), refusal)
}

// back gives a recipient back as it was, when a try says nothing about it.
func (s *posting) back(ctx context.Context, r *store.RecipientToSend, claim string) error {
	if claim == "" {
		return nil
	}
	state := store.MailQueued
	if r.Attempts > 0 {
		state = store.MailDeferred
	}
	return s.settle(ctx, r, store.Sent{Claim: claim, State: state, Uncounted: true}, "")
}

// settle writes down a recipient's new state, with its line in the timeline and the fact that tells of it. It goes on
// when the attempt's own time is over: what the server said can't be asked again.
func (s *posting) settle(ctx context.Context, r *store.RecipientToSend, sent store.Sent, reason string, refusal ...*mail.Refusal) error {
	sent.OrganizationID, sent.MailID, sent.Position = s.task.OrganizationID, s.task.ID, r.Position
	// As two attempts of the same write must be one, the timeline names the try.
	event := store.MailEvent{ID: newEventID(), Position: r.Position, Type: sent.State}
	if sent.Claim != "" {
		event.Source = sent.Claim + "/" + sent.State
	}
	err := persist(ctx, func(ctx context.Context) error {
		return s.DB.Tx(ctx, func(tx pgx.Tx) error {
			m, attempts, err := store.SettleSending(ctx, tx, sent)
			if err != nil {
				return err
			}
			s.mail.Mail, r.Attempts = m, attempts
			b := &pgx.Batch{}
			if event.Type != store.MailQueued && event.Type != store.MailDeferred || !sent.Uncounted {
				event.Detail = timelineOf(sent, reason, attempts)
				store.QueueMailEvent(b, sent.OrganizationID, sent.MailID, event)
			}
			if f := factOf(m, sent, reason, attempts); f != nil {
				if _, err := outbox.Queue(b, originOf(s.task.Job), f); err != nil {
					return err
				}
			}
			for _, one := range refusal {
				if err := s.suppress(ctx, tx, r, one); err != nil {
					return err
				}
			}
			return tx.SendBatch(ctx, b).Close()
		})
	})
	if err != nil {
		return err
	}
	remember(&r.MailRecipient, sent)
	s.Hints.OutboxChanged()
	return nil
}

// factOf gives the fact that tells of a recipient's new state; nil: nobody needs to know.
func factOf(m store.Mail, s store.Sent, reason string, attempts int) events.Fact {
	switch s.State {
	case store.MailAccepted:
		return events.MailAccepted{MessageID: m.ID, Recipient: s.Position, Stream: m.Stream, QueueID: s.QueueID, Attempts: attempts, Version: m.Version}
	case store.MailFailed:
		return events.MailFailed{MessageID: m.ID, Recipient: s.Position, Stream: m.Stream, Reason: reason, Code: s.Code, Status: s.Status,
			Attempts: attempts, Version: m.Version}
	case store.MailSuppressed:
		return events.MailSuppressed{MessageID: m.ID, Recipient: s.Position, Stream: m.Stream, Reason: reason, Version: m.Version}
	case store.MailUnknown:
		return events.MailUnknown{MessageID: m.ID, Recipient: s.Position, Stream: m.Stream, Policy: m.OnUnknown, Attempts: attempts, Version: m.Version}
	}
	return nil
}
