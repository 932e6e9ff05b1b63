package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// What somebody found out, or decided, about a recipient of whom nobody knew whether the mail server took the mail.
const (
	SettleAccepted = "accepted" // the server has it, as its log says
	SettleFailed   = "failed"   // it doesn't, and the mail is given up
	SettleResend   = "resend"   // it is sent again, though the recipient may have it
)

// A MailSettlement says what is to be true of a recipient of a mail.
type MailSettlement struct {
	OrganizationID string
	MailID         string
	Recipient      string // address; "": the only one that is unknown
	Outcome        string
}

// Settle carries a settlement out in a transaction that may see the organization. It gives the facts to append, and
// the job if it has a new run, whose event is queued already. Its refusals are Errors. place says where in its queue
// a job goes that runs again.
func (m MailSettlement) Settle(ctx context.Context, tx pgx.Tx, origin outbox.Origin, place func(store.Job) store.Place) ([]events.Fact, *store.Job, error) {
	var job store.Job
	if m.Outcome == SettleResend {
		// Everybody locks a job before its mail.
		var err error
		if job, err = store.LockJob(ctx, tx, m.OrganizationID, m.MailID); err != nil {
			return nil, nil, err
		}
	}
	if _, err := store.LockMail(ctx, tx, m.OrganizationID, m.MailID); err != nil {
		return nil, nil, err
	}
	was, err := store.MailIn(ctx, tx, m.OrganizationID, m.MailID)
	if err != nil {
		return nil, nil, err
	}
	r, err := m.recipientOf(was)
	if err != nil {
		return nil, nil, err
	}
	if _, err := store.AppendMailEvent(ctx, tx, m.OrganizationID, m.MailID, store.MailEvent{ID: outbox.NewID(), Position: r.Position,
		Type: "settled", Detail: map[string]string{"outcome": m.Outcome}}); err != nil {
		return nil, nil, err
	}
	if m.Outcome != SettleResend {
		facts, err := m.conclude(ctx, tx, r)
		return facts, nil, err
	}
	if _, err := store.ResendByHand(ctx, tx, m.OrganizationID, m.MailID, r.Position); err != nil {
		return nil, nil, err
	}
	again, err := m.rerun(ctx, tx, origin, job, place(job))
	return nil, again, err
}

// recipientOf is the one that the settlement is about.
func (m MailSettlement) recipientOf(mail store.MailDetail) (r store.MailRecipient, err error) {
	unknown := 0
	for _, one := range mail.Recipients {
		if one.State == store.MailUnknown {
			unknown++
		}
		if m.Recipient == "" && one.State == store.MailUnknown || m.Recipient != "" && strings.EqualFold(one.Address, m.Recipient) {
			r = one
		}
	}
	switch {
	case m.Recipient == "" && unknown > 1:
		return r, invalid(Fault{"/recipient", "must say which: " + strconv.Itoa(unknown) + " recipients are unknown"})
	case m.Recipient == "" && unknown == 0:
		return r, refuse("not_unknown", "the mail is "+mail.State+", and none of its recipients is unknown")
	case r.Position == 0:
		return r, invalid(Fault{"/recipient", "is no recipient of this mail"})
	case r.State != store.MailUnknown:
		return r, refuse("not_unknown", "the recipient is "+r.State+", so there is nothing to settle")
	}
	return r, nil
}

// conclude writes down what the server did, and states it.
func (m MailSettlement) conclude(ctx context.Context, tx pgx.Tx, r store.MailRecipient) ([]events.Fact, error) {
	now, err := store.SettleUnknown(ctx, tx, m.OrganizationID, m.MailID, r.Position, m.Outcome)
	if err != nil {
		return nil, err
	}
	if m.Outcome == SettleAccepted {
		return []events.Fact{events.MailAccepted{MessageID: now.ID, Recipient: r.Position, Stream: now.Stream, Attempts: r.Attempts, Version: now.Version}}, nil
	}
	return []events.Fact{events.MailFailed{MessageID: now.ID, Recipient: r.Position, Stream: now.Stream, Reason: "settled", Attempts: r.Attempts,
		Version: now.Version}}, nil
}

// rerun sees to it that the recipient is sent to: by a job that is yet to begin, or a new run of one that waits or has
// ended. One that is at work has read what it sends to.
func (m MailSettlement) rerun(ctx context.Context, tx pgx.Tx, origin outbox.Origin, j store.Job, place store.Place) (*store.Job, error) {
	eventID := outbox.NewID()
	again, err := store.RerunJob(ctx, tx, m.OrganizationID, j.ID, eventID, place)
	switch {
	case errors.Is(err, store.ErrConflict) && j.Status == store.Queued:
		return nil, nil
	case errors.Is(err, store.ErrConflict):
		return nil, refuse("conflict", "the mail is being worked on; try again in a moment").with("Retry-After", "5")
	case err != nil:
		return nil, err
	}
	if err := store.AdoptRun(ctx, tx, m.OrganizationID, m.MailID, again.Run); err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	if err := outbox.QueueAs(b, eventID, origin, requested(again)); err != nil {
		return nil, err
	}
	return &again, tx.SendBatch(ctx, b).Close()
}

type settleInput struct {
	ID   string `path:"id"`
	Body struct {
		Recipient *string `json:"recipient,omitempty" nullable:"true" maxLength:"254" doc:"Address; may be left out where one recipient alone is unknown"`
		Outcome   string  `json:"outcome" enum:"accepted,failed,resend" doc:"accepted: the mail server has it; failed: it hasn't, and the mail is given up; resend: it is sent again, though the recipient may have it already, and not before a try that was cut off just now had its last word. A job that has ended gets a new run for that, which sends to nobody else"`
	}
}

// settleMail lets people decide what no report did.
func (s *Server) settleMail(ctx context.Context, in *settleInput) (*created[mailDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	m := MailSettlement{OrganizationID: x.caller.OrganizationID, MailID: id, Outcome: in.Body.Outcome}
	if in.Body.Recipient != nil {
		m.Recipient = strings.TrimSpace(*in.Body.Recipient)
	}
	var again *store.Job
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (a answer, facts []events.Fact, err error) {
		if facts, again, err = m.Settle(ctx, tx, x.origin(), s.placeOf); err != nil {
			return a, nil, err
		}
		now, err := store.MailIn(ctx, tx, m.OrganizationID, id)
		if err != nil {
			return a, nil, err
		}
		out, err := mailOutputOf(now)
		if err != nil {
			return a, nil, err
		}
		return answer{status: http.StatusOK, headers: answerHeaders{ETag: out.ETag}, body: out.Body.json}, facts, nil
	})
	if err != nil {
		return nil, err
	}
	if again != nil {
		s.Hints.OutboxChanged()
		s.Hints.JobChanged(id)
	}
	return createdFrom[mailDetail](a), nil
}
