package jobs

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Who wants no reminders any more has those called off that have not gone out.
func TestRemindersOfWhoChangedTheirMind(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b, neighbour := newDebtor(t, d, afterTen(1)), newDebtor(t, d, afterTen(1))
	b.invoice(7)
	b.invoice(3)
	neighbour.invoice(7)
	b.remind()
	mind := func() {
		t.Helper()
		if err := (remindInvoices{d}).Run(t.Context(), remindInvoicesArgs{OrganizationID: b.organization}); err != nil {
			t.Fatal(err)
		}
	}
	states := func() (list []string) {
		t.Helper()
		rows, err := d.DB.Pool().Query(t.Context(), `SELECT (organization_id = $1) || ' ' || status || ' ' || count(*) FROM jobs
			GROUP BY organization_id = $1, status ORDER BY 1`, b.organization)
		if err == nil {
			list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	mind() // another setting has changed
	if got, want := fmt.Sprint(states()), "[false queued 1 true queued 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	exec(t, d, `UPDATE organizations SET settings = '{"reminders":{"enabled":false}}' WHERE id = $1`, b.organization)
	mind()
	mind()
	if got, want := fmt.Sprint(states()), "[false queued 1 true cancelled 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An invoice that was put off is reminded of from its new due date on, as if it were the first.
func TestRemindersBeginAnewAfterTheNewDueDate(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	invoice := b.invoice(7)
	about := func() {
		t.Helper()
		if err := (remindInvoices{d}).Run(t.Context(), remindInvoicesArgs{OrganizationID: b.organization, InvoiceID: invoice}); err != nil {
			t.Fatal(err)
		}
	}
	about()
	b.want(invoice, reminderOf(7))
	exec(t, d, `UPDATE invoices SET status = 'sent', due_date = current_date + 9 WHERE id = $1`, invoice)
	about()
	exec(t, d, `UPDATE invoices SET status = 'overdue', due_date = (now() AT TIME ZONE timezone)::date - 3
		FROM organizations o WHERE o.id = organization_id AND invoices.id = $1`, invoice)
	about()
	b.want(invoice, reminderOf(3))
}
