package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// orphan makes unknown what earlier attempts left between the content and the server's answer.
func (w sendMail) orphan(ctx context.Context, t *Task, was store.MailToSend) error {
	err := w.DB.Tx(ctx, func(tx pgx.Tx) error {
		m, orphans, err := store.OrphanSending(ctx, tx, t.Hold())
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, o := range orphans {
			store.QueueMailEvent(b, m.OrganizationID, m.ID, store.MailEvent{
				ID: newEventID(), Position: o.Position, Type: store.MailUnknown, Detail: map[string]any{"attempt": o.Attempts, "reason": "the process ended"}})
			f := events.MailUnknown{MessageID: m.ID, Recipient: o.Position, Stream: m.Stream, Policy: m.OnUnknown, Attempts: o.Attempts, Version: m.Version}
			if _, err := outbox.Queue(b, originOf(t.Job), f); err != nil {
				return err
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // its answer came meanwhile
	}
	if err == nil {
		w.Log.Warn("nobody knows whether a mail was accepted", "job_id", t.ID, "organization_id", t.OrganizationID, "policy", was.OnUnknown)
		w.Hints.OutboxChanged()
	}
	return err
}

// suppress puts an address on the list that the server says doesn't exist, or that is full again and again.
func (s *posting) suppress(ctx context.Context, tx pgx.Tx, r *store.RecipientToSend, refusal *mail.Refusal) error {
	class := classOf(refusal)
	if class == "" {
		return nil
	}
	detail := refusal.Error()
	return suppressFor(ctx, tx, store.Suppression{OrganizationID: s.task.OrganizationID, Address: r.Address, Stream: store.AllStreams,
		Detail: &detail, MessageID: &s.task.ID}, class, r.Position)
}
