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
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
)

// A posting is one attempt to bring a mail to all of its recipients.
type posting struct {
	sendMail
	task  *Task
	input mailInput
	mail  store.MailToSend
	began time.Time

	content *content         // composed when the first recipient needs it
	until   *Wait            // nothing more is tried in this attempt, for a reason that is no recipient's
	counted *ratelimit.Taken // the mail that is under way, as its organization's rate counts it
}

// turn is how long a mail with many recipients may hold a place that others wait for.
const turn = 10 * time.Second

// all tries every recipient that is due, as long as its turn lasts. Its error is one of ours, or the end of the
// attempt.
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
		NotesOf(ctx).Info("the recipient gets no mail", "recipient", r.Position, "reason", *r.Suppressed)
		return s.settle(ctx, r, store.Sent{Claim: newEventID(), State: store.MailSuppressed, Uncounted: true}, outcome{reason: *r.Suppressed})
	case r.NextAttemptAt != nil && time.Until(*r.NextAttemptAt) > time.Second:
		return nil
	}
	if s.until == nil && time.Since(s.began) > turn {
		s.until = &Wait{Reason: "The mail has many recipients; others come in between."}
	}
	if s.until == nil {
		s.until = s.overRate(ctx)
	}
	if s.until != nil {
		return nil
	}
	return s.send(ctx, r)
}

// unknown sends again to a recipient of whom nobody knows, when no evidence came in time and the sender wants it so.
func (s *posting) unknown(ctx context.Context, r *store.RecipientToSend) error {
	if at := s.resendAt(r); at == nil || time.Until(*at) > 0 {
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
	if errors.Is(err, store.ErrConflict) {
		return s.look(ctx, r) // it is known meanwhile
	}
	if err == nil {
		r.State, r.UnknownAt, r.NextAttemptAt = store.MailQueued, nil, nil
	}
	return err
}

// resendAt is when a recipient of whom nobody knows is sent to again; nil: never by itself.
func (s *posting) resendAt(r *store.RecipientToSend) *time.Time {
	if r.NextAttemptAt != nil {
		return r.NextAttemptAt // by hand
	}
	if s.mail.OnUnknown == store.UnknownHold {
		return nil
	}
	pause, ok := resendPause(r.Lost)
	if !ok {
		return nil
	}
	at := s.evidenceBy(r).Add(pause)
	return &at
}

// resendPause is how long a mail waits before it is sent again, beside the time for evidence, by how often the
// server's answer did not come; false: it is not sent any more by itself. A server that takes mails and is always cut
// off before it says so would fill a mailbox with copies. A process that died is no sign of that.
func resendPause(lost int) (time.Duration, bool) {
	switch {
	case lost <= 1:
		return 0, true
	case lost <= mostLost:
		return time.Duration(lost-1) * 5 * time.Minute, true
	}
	return 0, false
}

// mostLost is after how many lost answers a mail is sent again for the last time.
const mostLost = 3

// evidenceBy is when a report that settles an unknown recipient should have come.
func (s *posting) evidenceBy(r *store.RecipientToSend) time.Time {
	if r.UnknownAt == nil {
		return s.began
	}
	if s.Mailing.Bounces.IsZero() {
		return *r.UnknownAt
	}
	return r.UnknownAt.Add(s.Mailing.Evidence)
}

// look reads a recipient that somebody else has changed. ErrConflict: the job is not this attempt's any more.
func (s *posting) look(ctx context.Context, r *store.RecipientToSend) error {
	held, err := store.IsHeld(ctx, s.DB.Pool(), s.task.Hold())
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("send mail %s: %w", s.task.ID, store.ErrConflict)
	}
	m, err := s.DB.MailToSend(ctx, s.task.OrganizationID, s.task.ID, s.mail.Stream)
	if err != nil {
		return err
	}
	for _, now := range m.Recipients {
		if now.Position == r.Position {
			*r = now
		}
	}
	s.mail.Mail = m.Mail
	return nil
}

// stale is how long the note that a mail is being sent may take. Others take the jobs of a process that was frozen
// for longer, and it must not go on when it wakes up.
const stale = 8 * time.Second

var errStale = errors.New("this process was away for too long")

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
	try, began := store.Sent{Claim: newEventID()}, time.Now()
	receipt, err := s.Mailing.Mailer.Send(ctx, envelope, content, func(ctx context.Context) error {
		// Once it was asked for it may be done, whatever came back.
		try.Begun = true
		asked := time.Now()
		if err := s.DB.BeginSending(ctx, s.task.Hold(), r.Position, try.Claim); err != nil {
			return err
		}
		if time.Since(asked) > stale {
			return errStale
		}
		return nil
	})
	noteSent(ctx, r, began, receipt, err)
	return s.answered(ctx, r, try, receipt, err)
}

// answered writes down what became of a try.
func (s *posting) answered(ctx context.Context, r *store.RecipientToSend, try store.Sent, receipt mail.Receipt, err error) error {
	var refusal *mail.Refusal
	switch {
	case err == nil:
		try.State, try.Code, try.Reply, try.QueueID = store.MailAccepted, receipt.Code, receipt.Reply, receipt.QueueID
		return s.settle(ctx, r, try, outcome{})
	case errors.Is(err, store.ErrConflict):
		return s.look(ctx, r) // the recipient, or the job, was settled by somebody else
	case !errors.As(err, &refusal):
		// Nothing was sent: the process stops, or the database is away.
		err = fmt.Errorf("send mail %s to recipient %d: %w", s.task.ID, r.Position, err)
		return errors.Join(err, s.back(ctx, r, try))
	case refusal.Class == mail.Channel:
		s.until = s.channelWait(refusal)
		return s.back(ctx, r, try)
	}
	try.Code, try.Status, try.Reply = refusal.Code, refusal.Enhanced, refusal.Reply
	o := outcome{reason: string(refusal.Class), refusal: refusal}
	switch refusal.Class {
	case mail.Unknown:
		try.State = store.MailUnknown
	case mail.Deferred:
		try.State = store.MailDeferred
		next := time.Now().Add(mailBackoff(r.Attempts + 1))
		if try.NextAttemptAt = &next; next.After(s.expires()) {
			try.State, try.NextAttemptAt, o.reason = store.MailFailed, nil, "expired"
		}
	case mail.TooLarge:
		try.State = store.MailFailed
		if refusal.Code == 0 { // found out here, by what the server says it takes
			try.Status, try.Reply = statusTooLarge, refusal.Cause.Error()
		}
	default:
		try.State = store.MailFailed
	}
	return s.settle(ctx, r, try, o)
}

// Statuses of RFC 3463 for a mail that is too big: for the system, or for the mailbox.
const statusTooLarge, statusOverLimit = "5.3.4", "5.2.3"

// back gives a recipient back as it was, when a try says nothing about it.
func (s *posting) back(ctx context.Context, r *store.RecipientToSend, try store.Sent) error {
	if s.counted != nil {
		s.counted.GiveBack(ctx)
		s.counted = nil
	}
	if !try.Begun {
		return nil
	}
	try.State, try.Uncounted = store.MailQueued, true
	if r.Attempts > 0 {
		try.State = store.MailDeferred
	}
	return s.settle(ctx, r, try, outcome{})
}

// An outcome is why a recipient is in its new state: a word for programs, and what the server said against it.
type outcome struct {
	reason  string
	refusal *mail.Refusal
}

// settle writes down a recipient's new state, with its line in the timeline and the fact that tells of it. It goes on
// when the attempt's own time is over: what the server said can't be asked again.
func (s *posting) settle(ctx context.Context, r *store.RecipientToSend, sent store.Sent, o outcome) error {
	sent.OrganizationID, sent.MailID, sent.Position = s.task.OrganizationID, s.task.ID, r.Position
	var settled store.Settled
	err := persist(ctx, func(ctx context.Context) error {
		return s.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
			if settled, err = store.SettleSending(ctx, tx, sent); err != nil || !settled.Wrote {
				return err
			}
			if err := s.tell(ctx, tx, settled, sent, o); err != nil {
				return err
			}
			return s.suppress(ctx, tx, r, o.refusal)
		})
	})
	if err != nil {
		return err
	}
	s.mail.Mail, r.MailRecipient = settled.Mail, settled.Recipient
	if sent.State == store.MailUnknown && settled.Wrote {
		r.Lost++
	}
	s.Hints.OutboxChanged()
	return nil
}

// tell adds the line of the timeline and the fact, once for a try. One that says nothing about the recipient has
// neither.
func (s *posting) tell(ctx context.Context, tx pgx.Tx, now store.Settled, sent store.Sent, o outcome) error {
	if sent.Uncounted && sent.State != store.MailSuppressed {
		return nil
	}
	if sent.State == store.MailDeferred && now.Recipient.State != sent.State {
		sent.State, sent.NextAttemptAt = now.Recipient.State, nil // the job has ended, and nothing comes after it
	}
	isNew, err := store.AppendMailEvent(ctx, tx, sent.OrganizationID, sent.MailID, store.MailEvent{ID: newEventID(), Position: sent.Position,
		Type: sent.State, Source: sourceOf(sent.Claim, sent.State), Detail: timelineOf(sent, o, now.Recipient.Attempts)})
	if err != nil || !isNew {
		return err
	}
	if f := factOf(now.Mail, sent, o.reason, now.Recipient.Attempts); f != nil {
		return outbox.Append(ctx, tx, originOf(s.task.Job), f)
	}
	return nil
}

// sourceOf names what a try came to, so that it is told once.
func sourceOf(claim, state string) string { return claim + "/" + state }

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
