package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// sendMailArgs are River's arguments of mail.send.
type sendMailArgs struct {
	Request
	Cause *mailCause `json:"cause,omitempty"` // nil: a client asked for it
}

// Kind implements river.JobArgs.
func (sendMailArgs) Kind() string { return "mail.send" }

var sendMailSpec = Spec{
	Queue: Mail, Timeout: 15 * time.Minute, MaxAttempts: 10, Backoff: exponential(10*time.Second, 30*time.Minute), Scope: "jobs",
	Summary: "Sends a mail through the owner's server, to each recipient once.",
	Notes: "It succeeds when the server took the mail for one recipient or more; output.recipients says which. " +
		"What the server puts off is tried again for three days. /api/mail/{id} of the same id tells what became of it afterwards. " +
		"A job that ended while the mail was on its way stays as it ended, such as cancelled, and the mail says what became of it.",
	OutputSchema: json.RawMessage(mailOutputSchema), Fails: mailCodes,
	Check:       checkMail,
	InputSchema: json.RawMessage(mailInputSchema),
	Beside:      queueMail,
}

// sendMail sends a mail to each of its recipients in a transaction of its own, and each outcome is written down as
// it comes. Whatever ends a try between the last dot and the server's answer leaves the recipient unknown: it is
// settled by a report of the server, where one comes, or else by what the sender chose.
type sendMail struct{ Deps }

// Run implements Work.
func (w sendMail) Run(ctx context.Context, _ sendMailArgs, t *Task) (Result, error) {
	var in mailInput
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	if w.Mailing.Mailer == nil {
		return Result{}, (&Wait{Reason: "No mail server is configured on this worker (SMTP_HOST).", After: noServerPause}).before(t.Deadline)
	}
	m, err := w.take(ctx, t, in.stream())
	if err != nil {
		return Result{}, err
	}
	if err := t.Follow.Started(ctx); err != nil {
		return Result{}, err
	}
	s := &posting{sendMail: w, task: t, input: in, mail: m, began: time.Now()}
	if err := s.all(ctx); err != nil {
		return Result{}, err
	}
	return s.conclude()
}

// take reads the mail. What an earlier attempt left undecided is unknown from then on, and a run by hand begins
// all that was not accepted anew.
func (w sendMail) take(ctx context.Context, t *Task, stream string) (store.MailToSend, error) {
	m, err := w.DB.MailToSend(ctx, t.OrganizationID, t.ID, stream)
	if err != nil {
		return m, err
	}
	stale := false
	if m.Run < t.Run {
		stale = true
		if err := w.renew(ctx, t); err != nil {
			return m, err
		}
	}
	for _, r := range m.Recipients {
		if r.State == store.MailSending && m.Run == t.Run {
			stale = true
			if err := w.orphan(ctx, t, m); err != nil {
				return m, err
			}
			break
		}
	}
	if stale {
		return w.DB.MailToSend(ctx, t.OrganizationID, t.ID, stream)
	}
	return m, nil
}

// conclude says what all came to. What can still change keeps the job waiting.
func (s *posting) conclude() (Result, error) {
	if wait := s.wait(); wait != nil {
		return Result{}, wait
	}
	out := s.output()
	if out.State == store.MailAccepted {
		receipt, err := json.Marshal(out)
		if err != nil {
			return Result{}, err
		}
		return Result{Output: out, Effects: []store.Effect{{Key: effectOfRun("mail", s.task.Run), State: "done", Attempt: s.task.Attempt, Receipt: receipt}}}, nil
	}
	f := s.failure()
	f.Output = out
	return Result{}, f
}

// effectOfRun names what a run did. What was done may be done again by a run of its own, whose receipt is one more: a
// mail that was accepted for some may be sent again to one of whom nobody knows.
func effectOfRun(what string, run int) string {
	if run == 1 {
		return what
	}
	return fmt.Sprintf("%s/%d", what, run)
}

// renew begins the mail again for a run by hand.
func (w sendMail) renew(ctx context.Context, t *Task) error {
	err := w.DB.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := store.RenewMail(ctx, tx, t.OrganizationID, t.ID, t.Run); err != nil {
			return err
		}
		_, err := store.AppendMailEvent(ctx, tx, t.OrganizationID, t.ID, store.MailEvent{ID: newEventID(), Type: "retried"})
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // an earlier attempt of this run has done so
	}
	return err
}
