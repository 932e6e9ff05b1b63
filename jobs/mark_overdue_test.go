package jobs

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
)

type countedHints struct {
	noHints
	outbox atomic.Int64
}

func (h *countedHints) OutboxChanged() { h.outbox.Add(1) }

// sale is an organization in a time zone, with a contact.
func sale(t *testing.T, d Deps, timezone string) string {
	t.Helper()
	id := outbox.NewID()
	exec(t, d, `INSERT INTO organizations (id, name, state, timezone) VALUES ($1, 'x', 'KA', $2)`, id, timezone)
	exec(t, d, `INSERT INTO contacts (organization_id, id, name) VALUES ($1, $1, 'x')`, id)
	return id
}

func exec(t *testing.T, d Deps, sql string, args ...any) {
	t.Helper()
	if _, err := d.DB.Pool().Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// invoices inserts so many sent ones that are due in days from today there.
func invoices(t *testing.T, d Deps, organizationID string, days, n int) {
	t.Helper()
	exec(t, d, `
		INSERT INTO invoices (organization_id, id, contact_id, status, financial_year, sequence, number, place_of_supply, place_of_supply_code,
			inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total, supplier, customer, sent_at)
		SELECT o.id, gen_random_uuid(), o.id, 'sent', 2017, last.n + i, 'N' || last.n + i, 'x', '29', false, '2017-07-01',
			(now() AT TIME ZONE o.timezone)::date + $2::integer, 100, 0, 0, 0, 100, '{}', '{}', now()
		FROM organizations o, generate_series(1, $3::integer) i,
			(SELECT count(*)::integer AS n FROM invoices WHERE organization_id = $1) last
		WHERE o.id = $1`, organizationID, days, n)
}

// overdue counts the invoices of an organization that are overdue, and the facts that say so, which agree
// with the rows in all that they say.
func overdue(t *testing.T, d Deps, organizationID string) (rows, facts int) {
	t.Helper()
	err := d.DB.Pool().QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM invoices WHERE organization_id = $1 AND status = 'overdue'),
			(SELECT count(*) FROM outbox f JOIN invoices i ON i.organization_id = f.organization_id AND i.id::text = f.subject
			 WHERE f.organization_id = $1 AND f.type = 'invoice.overdue' AND f.aggregate_version = i.version AND i.version = 2
			   AND f.data::jsonb = jsonb_build_object('invoice_id', i.id, 'contact_id', i.contact_id, 'number', i.number, 'amount_due', 100,
			       'currency', 'INR', 'due_date', i.due_date, 'version', i.version))`, organizationID).Scan(&rows, &facts)
	if err != nil {
		t.Fatal(err)
	}
	return rows, facts
}

func TestMarkOverdue(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	hints := &countedHints{}
	w := markOverdue{db: d.DB, hints: hints}
	if err := w.Run(t.Context(), markOverdueArgs{}); err != nil || hints.outbox.Load() != 0 {
		t.Fatalf("nothing to do: %v, %d hints", err, hints.outbox.Load())
	}
	// Days begin in these zones as much as 26 hours apart.
	var organizations []string
	for _, zone := range []string{"Pacific/Kiritimati", "Asia/Kolkata", "Etc/GMT+12"} {
		org := sale(t, d, zone)
		organizations = append(organizations, org)
		invoices(t, d, org, 0, 3)
		invoices(t, d, org, 1, 2)
		invoices(t, d, org, -1, 250)
	}
	exec(t, d, `UPDATE invoices SET status = 'paid', amount_paid = total, paid_at = now(), version = 7 WHERE organization_id = $1 AND sequence = 20`, organizations[0])
	if err := w.Run(t.Context(), markOverdueArgs{}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{249, 250, 250} {
		if rows, facts := overdue(t, d, organizations[i]); rows != want || facts != want {
			t.Errorf("%d: %d overdue with %d facts, want %d", i, rows, facts, want)
		}
	}
	if hints.outbox.Load() == 0 {
		t.Error("nobody woke the relay")
	}
	if err := w.Run(t.Context(), markOverdueArgs{}); err != nil {
		t.Fatal(err)
	}
	if rows, facts := overdue(t, d, organizations[1]); rows != 250 || facts != 250 {
		t.Errorf("again: %d overdue with %d facts", rows, facts)
	}
}

// Runs that meet, some cut off in the middle, mark each invoice once; what is locked waits for nobody.
func TestMarkOverdueAtOnce(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	org := sale(t, d, "Asia/Kolkata")
	invoices(t, d, org, -3, 1500)
	w := markOverdue{db: d.DB, hints: noHints{}}
	held := make(chan struct{})
	release := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := d.DB.Tx(context.WithoutCancel(t.Context()), func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT FROM invoices WHERE organization_id = $1 AND sequence <= 5 FOR NO KEY UPDATE`, org)
			close(held)
			<-release
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	var runs sync.WaitGroup
	for i := range 3 {
		runs.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Millisecond+time.Millisecond)
			defer cancel()
			_ = w.Run(ctx, markOverdueArgs{}) // may be cut off, that is the point
		})
	}
	runs.Wait()
	for range 2 {
		if err := w.Run(t.Context(), markOverdueArgs{}); err != nil {
			t.Fatal(err)
		}
	}
	if rows, facts := overdue(t, d, org); rows != 1495 || facts != 1495 {
		t.Errorf("with five held: %d overdue with %d facts", rows, facts)
	}
	close(release)
	wg.Wait()
	if err := w.Run(t.Context(), markOverdueArgs{}); err != nil {
		t.Fatal(err)
	}
	if rows, facts := overdue(t, d, org); rows != 1500 || facts != 1500 {
		t.Errorf("%d overdue with %d facts", rows, facts)
	}
}
