package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// remindInvoicesArgs are River's arguments of invoices.remind: the clock looks at all invoices, a fact at those of an
// organization, or at one.
type remindInvoicesArgs struct {
	OrganizationID string `json:"organization_id,omitempty"`
	InvoiceID      string `json:"invoice_id,omitempty"`
}

// Kind implements river.JobArgs.
func (remindInvoicesArgs) Kind() string { return "invoices.remind" }

var remindInvoicesSpec = Spec{
	Queue: Maintenance, Timeout: 10 * time.Minute, MaxAttempts: 5, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/10 * * * *",
}

func remindersOfOrganization(e events.Envelope, f events.OrganizationUpdated) (remindInvoicesArgs, bool) {
	return remindInvoicesArgs{OrganizationID: e.OrganizationID}, slices.Contains(f.Changed, "settings")
}

func remindersOfOverdue(e events.Envelope, f events.InvoiceOverdue) (remindInvoicesArgs, bool) {
	return remindInvoicesArgs{OrganizationID: e.OrganizationID, InvoiceID: f.InvoiceID}, true
}

func remindersOfPaid(e events.Envelope, f events.InvoicePaid) (remindInvoicesArgs, bool) {
	return remindInvoicesArgs{OrganizationID: e.OrganizationID, InvoiceID: f.InvoiceID}, true
}

func remindersOfCancelled(e events.Envelope, f events.InvoiceCancelled) (remindInvoicesArgs, bool) {
	return remindInvoicesArgs{OrganizationID: e.OrganizationID, InvoiceID: f.InvoiceID}, f.Number != ""
}

func remindersOfPutOff(e events.Envelope, f events.InvoiceUpdated) (remindInvoicesArgs, bool) {
	return remindInvoicesArgs{OrganizationID: e.OrganizationID, InvoiceID: f.InvoiceID}, slices.Contains(f.Changed, "due_date")
}

// reminderSteps are the days after the due date on which a reminder is due.
var reminderSteps = func() []int {
	steps := slices.Clone(dunningStages)
	slices.Sort(steps)
	return steps
}()

const (
	// remindersAtOnce keeps transactions short: whoever pays one of these invoices waits for the end.
	remindersAtOnce = 50
	// textPatience is how long a model has to write a reminder; rules write it after that.
	textPatience = 12 * time.Hour
)

// remindInvoices begins the reminders of overdue invoices where their organizations want them: a step is a row and
// the job that writes its text, in one transaction, so each step begins once. When that job ends the text is mailed,
// see mail_of_reminder.go. The reminders of an invoice that is paid, cancelled or put off meanwhile
// are called off, and so are all of an organization that wants none any more. With them goes
// the mail of a cancelled invoice, if it waits still: it asks for money that nobody owes.
type remindInvoices struct{ Deps }

// Run implements Chore.
func (w remindInvoices) Run(ctx context.Context, args remindInvoicesArgs) error {
	if args.OrganizationID != "" {
		wanted, err := w.wanted(ctx, args)
		if err != nil {
			return err
		}
		if !wanted {
			return w.callOff(ctx, args)
		}
	}
	for {
		found, err := w.begin(ctx, args)
		if err != nil || found < remindersAtOnce {
			return err
		}
	}
}

// wanted reports whether there may be reminders of what a fact was about.
func (w remindInvoices) wanted(ctx context.Context, args remindInvoicesArgs) (bool, error) {
	if args.InvoiceID != "" {
		return w.DB.IsOverdue(ctx, args.OrganizationID, args.InvoiceID)
	}
	return w.DB.WantsReminders(ctx, args.OrganizationID)
}

// begin begins reminders that are due, and says how many it found.
func (w remindInvoices) begin(ctx context.Context, args remindInvoicesArgs) (found int, err error) {
	err = w.DB.Tx(ctx, func(tx pgx.Tx) error {
		due, err := store.DueReminders(ctx, tx, reminderSteps, remindersAtOnce, args.OrganizationID, args.InvoiceID)
		if err != nil {
			return err
		}
		found = len(due)
		var left places
		for _, r := range due {
			if err := beginReminder(ctx, tx, r, &left); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && found > 0 {
		w.Hints.OutboxChanged()
		w.Log.Info("reminders are begun", "count", found)
	}
	return found, err
}

func beginReminder(ctx context.Context, tx pgx.Tx, r store.DueReminder, left *places) error {
	// The row is what there is one of; who asks twice for it gets no second job.
	id := outbox.NewID()
	first, err := store.BeginReminder(ctx, tx, r, id)
	if err != nil || !first {
		return err
	}
	deadline := time.Now().Add(textPatience).UTC().Truncate(time.Microsecond)
	_, err = handOver(ctx, tx, order{
		organizationID: r.OrganizationID, id: id, kind: remindOfInvoiceArgs{}.Kind(), spec: reminderOfInvoice.spec(),
		// Nobody waits for it: the model in the house has the time that it takes.
		input:    map[string]any{"invoice_id": r.InvoiceID, "mode": "relaxed"},
		priority: lowPriority, deadline: &deadline,
		metadata: map[string]any{"cause": remindInvoicesArgs{}.Kind(), "step": r.Step},
	}, left)
	return err
}

// callOff cancels what has not ended of the reminders.
func (w remindInvoices) callOff(ctx context.Context, args remindInvoicesArgs) error {
	open, err := store.RemindersUnderWay(ctx, w.DB.Pool(), args.OrganizationID, args.InvoiceID)
	if err != nil {
		return err
	}
	for _, j := range open {
		err := w.DB.Tx(ctx, func(tx pgx.Tx) error { return Cancel(ctx, tx, j) })
		if errors.Is(err, store.ErrConflict) {
			continue // it has ended
		}
		if err != nil {
			return err
		}
		w.Hints.OutboxChanged()
		w.Hints.JobChanged(j.ID)
	}
	if args.InvoiceID == "" {
		return nil
	}
	// Only now, as what is under way is known by these rows.
	return w.DB.ForgetReminders(ctx, args.OrganizationID, args.InvoiceID)
}
