package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// markOverdueArgs are the arguments of invoices.mark_overdue.
type markOverdueArgs struct{}

// Kind implements river.JobArgs.
func (markOverdueArgs) Kind() string { return "invoices.mark_overdue" }

var markOverdueSpec = Spec{
	Queue: Maintenance, Timeout: 10 * time.Minute, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/5 * * * *",
}

// markOverdue makes sent invoices overdue when the day after their due date begins where their organization
// is, and says so of each in the same transaction. A run that meets another leaves it what it has.
type markOverdue struct {
	db    *store.DB
	hints Hints
}

// overdueAtOnce keeps transactions short: whoever pays one of these invoices waits for the end.
const overdueAtOnce = 200

// Run implements Chore.
func (w markOverdue) Run(ctx context.Context, _ markOverdueArgs) error {
	for {
		marked, err := w.batch(ctx)
		if err != nil {
			return err
		}
		if marked > 0 {
			w.hints.OutboxChanged()
		}
		if marked < overdueAtOnce {
			return nil
		}
	}
}

func (w markOverdue) batch(ctx context.Context) (marked int, err error) {
	err = w.db.Tx(ctx, func(tx pgx.Tx) error {
		invoices, err := store.MarkOverdue(ctx, tx, overdueAtOnce)
		if err != nil || len(invoices) == 0 {
			return err
		}
		b := &pgx.Batch{}
		for _, v := range invoices {
			_, err := outbox.Queue(b, outbox.Origin{OrganizationID: v.OrganizationID}, events.InvoiceOverdue{
				InvoiceID: v.ID, ContactID: v.ContactID, Number: v.Number, AmountDue: v.AmountDue,
				Currency: v.Currency, DueDate: v.DueDate, Version: v.Version,
			})
			if err != nil {
				return err
			}
		}
		marked = len(invoices)
		return tx.SendBatch(ctx, b).Close()
	})
	return marked, err
}
