package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/internal/store"
)

const seller = "0197aaaa-0000-7000-8000-00000000000a"

// guarded is a database with an invoice of two items in each status.
type guarded struct {
	*pgx.Conn
	t *testing.T
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	url := newDatabase(t)
	g := guarded{connect(t, url), t}
	g.must(`SET ROLE payaid_system`)
	g.must(`INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'KA')`, seller)
	g.must(`INSERT INTO contacts (organization_id, id, name) VALUES ($1, $1, 'x')`, seller)
	for i, status := range statuses {
		g.must(`INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total)
			VALUES ($1, $2, $1, 'x', '29', false, '2026-04-01', '2026-05-01', 200, 18, 18, 0, 236)`, seller, idOf(status))
		g.must(`INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total)
			SELECT $1, $2, i, 'x', 1, 100, 1800, 100, 9, 9, 0, 118 FROM generate_series(1, 2) i`, seller, idOf(status))
		for _, step := range pathTo[status] {
			g.must(changeTo[step], seller, idOf(status), i+1)
		}
	}
	return g
}

var statuses = []string{store.InvoiceDraft, store.InvoiceSent, store.InvoicePaid, store.InvoiceOverdue, store.InvoiceCancelled}

func idOf(status string) string {
	return "0197aaaa-0000-7000-8000-0000000000" + string('1'+byte(slices.Index(statuses, status))) + "0"
}

var pathTo = map[string][]string{
	store.InvoiceSent: {store.InvoiceSent}, store.InvoicePaid: {store.InvoiceSent, store.InvoicePaid},
	store.InvoiceOverdue: {store.InvoiceSent, store.InvoiceOverdue}, store.InvoiceCancelled: {store.InvoiceSent, store.InvoiceCancelled},
}

// changeTo has everything about a row right that its new status asks for; $3 numbers it.
var changeTo = map[string]string{
	store.InvoiceDraft:     `UPDATE invoices SET status = 'draft', number = NULL, financial_year = NULL, sequence = NULL, supplier = NULL, customer = NULL, sent_at = NULL, paid_at = NULL, cancelled_at = NULL, amount_paid = 0 WHERE organization_id = $1 AND id = $2 AND $3::integer > 0`,
	store.InvoiceSent:      `UPDATE invoices SET status = 'sent', number = coalesce(number, 'N' || $3::integer), financial_year = 2026, sequence = coalesce(sequence, $3), supplier = coalesce(supplier, '{}'), customer = coalesce(customer, '{}'), sent_at = now(), paid_at = NULL, cancelled_at = NULL WHERE organization_id = $1 AND id = $2`,
	store.InvoiceOverdue:   `UPDATE invoices SET status = 'overdue', number = coalesce(number, 'N' || $3::integer), financial_year = 2026, sequence = coalesce(sequence, $3), supplier = coalesce(supplier, '{}'), customer = coalesce(customer, '{}'), sent_at = now(), paid_at = NULL, cancelled_at = NULL WHERE organization_id = $1 AND id = $2`,
	store.InvoicePaid:      `UPDATE invoices SET status = 'paid', number = coalesce(number, 'N' || $3::integer), financial_year = 2026, sequence = coalesce(sequence, $3), supplier = coalesce(supplier, '{}'), customer = coalesce(customer, '{}'), sent_at = now(), paid_at = now(), amount_paid = total, cancelled_at = NULL WHERE organization_id = $1 AND id = $2`,
	store.InvoiceCancelled: `UPDATE invoices SET status = 'cancelled', cancelled_at = now(), paid_at = NULL WHERE organization_id = $1 AND id = $2 AND $3::integer > 0`,
}

func (g guarded) must(sql string, args ...any) {
	g.t.Helper()
	if _, err := g.Exec(g.t.Context(), sql, args...); err != nil {
		g.t.Fatalf("%s: %v", sql, err)
	}
}

// refusal tries a statement, takes it back, and gives the constraint that refused it, "" for none.
func (g guarded) refusal(sql string, args ...any) string {
	g.t.Helper()
	tx, err := g.Begin(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer tx.Rollback(g.t.Context())
	tag, err := tx.Exec(g.t.Context(), sql, args...)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23514" {
		return pg.ConstraintName
	}
	if err != nil || tag.RowsAffected() == 0 {
		g.t.Fatalf("%s: %d rows, %v", sql, tag.RowsAffected(), err)
	}
	return ""
}

func TestInvoiceTransitions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	legal := []string{"draft>sent", "draft>cancelled", "sent>overdue", "sent>paid", "sent>cancelled", "overdue>sent", "overdue>paid", "overdue>cancelled"}
	for _, from := range statuses {
		for _, to := range statuses {
			if from == to {
				continue
			}
			want := "invoices_transition"
			if slices.Contains(legal, from+">"+to) {
				want = ""
			}
			if got := g.refusal(changeTo[to], seller, idOf(from), 99); got != want {
				t.Errorf("from %s to %s: refused by %q, want %q", from, to, got, want)
			}
		}
	}
}

func TestSentInvoiceIsFixed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	other := "0197aaaa-0000-7000-8000-00000000000b"
	g.must(`INSERT INTO contacts (organization_id, id, name) VALUES ($1, $2, 'x')`, seller, other)
	for _, status := range statuses[1:] {
		for _, change := range []string{
			`number = 'N77'`, `number = NULL, financial_year = NULL, sequence = NULL`, `contact_id = '` + other + `'`, `issue_date = '2026-04-02'`,
			`place_of_supply_code = '27'`, `inter_state = true, cgst = 0, sgst = 0, igst = 36`, `subtotal = 201, total = 237`, `subtotal = 0, cgst = 0, sgst = 0, total = 0, amount_paid = 0`,
			`cgst = 17, sgst = 17, total = 234`, `currency = 'USD'`, `supplier = '{"a":1}'`, `customer = '{"a":1}'`,
		} {
			if got := g.refusal(`UPDATE invoices SET `+change+` WHERE organization_id = $1 AND id = $2`, seller, idOf(status)); got != "invoices_fixed" {
				t.Errorf("%s, %s: refused by %q", status, change, got)
			}
		}
		for _, sql := range []string{
			`UPDATE invoice_items SET description = 'y' WHERE organization_id = $1 AND invoice_id = $2`,
			`DELETE FROM invoice_items WHERE organization_id = $1 AND invoice_id = $2`,
			`INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total)
				VALUES ($1, $2, 3, 'x', 1, 100, 0, 100, 0, 0, 0, 100)`,
		} {
			if got := g.refusal(sql, seller, idOf(status)); got != "invoices_fixed" {
				t.Errorf("%s: %s: refused by %q", status, sql, got)
			}
		}
		if got := g.refusal(`DELETE FROM invoices WHERE organization_id = $1 AND id = $2`, seller, idOf(status)); got != "invoices_keep" {
			t.Errorf("%s: deletion is refused by %q", status, got)
		}
		if got := g.refusal(`UPDATE invoices SET notes = 'n', due_date = '2026-06-01' WHERE organization_id = $1 AND id = $2`, seller, idOf(status)); got != "" {
			t.Errorf("%s: notes and due date are refused by %q", status, got)
		}
	}
	if got := g.refusal(`UPDATE invoices SET amount_paid = 0, status = 'paid' WHERE organization_id = $1 AND id = $2`, seller, idOf("paid")); got != "invoices_fixed" {
		t.Errorf("taking a payment back is refused by %q", got)
	}
	for _, sql := range []string{
		`UPDATE invoices SET subtotal = 201, total = 237 WHERE organization_id = $1 AND id = $2`,
		`UPDATE invoice_items SET description = 'y' WHERE organization_id = $1 AND invoice_id = $2`,
		`DELETE FROM invoices WHERE organization_id = $1 AND id = $2`,
	} {
		if got := g.refusal(sql, seller, idOf("draft")); got != "" {
			t.Errorf("of a draft: %s: refused by %q", sql, got)
		}
	}
}

func TestSumsAreThoseOfTheItems(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.must(`DELETE FROM invoice_items WHERE organization_id = $1 AND invoice_id = $2 AND position = 2`, seller, idOf("draft"))
	if got := g.refusal(changeTo[store.InvoiceSent], seller, idOf("draft"), 99); got != "invoices_sums" {
		t.Errorf("refused by %q", got)
	}
	for _, change := range []string{`amount = 101, total = 119`, `cgst = 8, total = 117`, `igst = 1, total = 119`, `total = 117`, `quantity = 0, amount = 0, total = 18`} {
		if got := g.refusal(`UPDATE invoice_items SET `+change+` WHERE organization_id = $1 AND invoice_id = $2`, seller, idOf("draft")); got == "" {
			t.Errorf("an item takes %s", change)
		}
	}
	for _, change := range []string{`total = 237`, `amount_paid = 237`, `amount_paid = 1`, `due_date = '2026-03-31'`, `cgst = 19, total = 237`, `sequence = 5`, `number = 'x'`} {
		if got := g.refusal(`UPDATE invoices SET `+change+` WHERE organization_id = $1 AND id = $2`, seller, idOf("draft")); got == "" {
			t.Errorf("%s is taken", change)
		}
	}
}
