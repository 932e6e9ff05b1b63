package api

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// numbers gives the sequences of an organization's numbers, by their financial year and in their order.
func (g *rig) numbers(t testing.TB, organizationID string) map[int][]int {
	t.Helper()
	rows, err := g.system.Pool().Query(t.Context(), `SELECT financial_year, sequence, number FROM invoices WHERE organization_id = $1 AND number IS NOT NULL ORDER BY 1, 2`, organizationID)
	if err != nil {
		t.Fatal(err)
	}
	given := map[int][]int{}
	var year, sequence int
	var number string
	_, err = pgx.ForEachRow(rows, []any{&year, &sequence, &number}, func() error {
		if number != gst.InvoiceNumber(year, sequence) {
			t.Errorf("number %s of %d in %d", number, sequence, year)
		}
		given[year] = append(given[year], sequence)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return given
}

// wantNoGaps wants the numbers 1 to n of a year, and the counter at n.
func (g *rig) wantNoGaps(t testing.TB, organizationID string, year, n int) {
	t.Helper()
	given := g.numbers(t, organizationID)[year]
	for i, sequence := range given {
		if sequence != i+1 {
			t.Fatalf("%d: number %d comes at place %d", year, sequence, i+1)
		}
	}
	var last int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT coalesce(max(last), 0) FROM invoice_counters WHERE organization_id = $1 AND financial_year = $2`, organizationID, year).Scan(&last); err != nil {
		t.Fatal(err)
	}
	if len(given) != n || last != n {
		t.Errorf("%d: %d numbers and the counter at %d, want %d", year, len(given), last, n)
	}
}

// Sixty-four at once make and send, in two organizations and two years, while sends are rolled back after
// they had a number.
func TestNumbersHaveNoGaps(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	type seller struct{ id, key, contact string }
	var sellers []seller
	for range 2 {
		id, key := g.organization(t)
		sellers = append(sellers, seller{id, key, g.buyer(t, id, nil, nil)})
	}
	days := []string{"2026-03-31", "2026-04-01"}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			s, day := sellers[i%2], days[i/2%2]
			for j := range 4 {
				v := g.call(t, s.key, "POST", "/api/invoices", invoiceBody(s.contact, `,"issue_date":"`+day+`"`)).want(201).invoice()
				if (i+j)%3 == 0 {
					g.rolledBack(t, s.id, v.ID)
				}
				headers := []string{}
				if j%2 == 0 {
					headers = []string{"Idempotency-Key", "k", "If-Match", `"1"`}
				}
				g.act(t, s.key, v.ID, "send", "", headers...).want(200)
			}
		})
	}
	wg.Wait()
	for _, s := range sellers {
		g.wantNoGaps(t, s.id, 2025, 64)
		g.wantNoGaps(t, s.id, 2026, 64)
	}
}

// rolledBack sends an invoice in a transaction that comes to nothing.
func (g *rig) rolledBack(t testing.TB, organizationID, id string) {
	t.Helper()
	stop := errors.New("stop")
	err := g.DB.TxAs(t.Context(), organizationID, func(tx pgx.Tx) error {
		v, err := store.LockInvoice(t.Context(), tx, organizationID, id)
		if err != nil {
			return err
		}
		v.Supplier, v.Customer = &store.Supplier{}, &store.Customer{}
		v, err = store.SendInvoice(t.Context(), tx, organizationID, v, store.KeepItems, gst.FinancialYear(mustDay(t, v.IssueDate)), gst.InvoiceNumber)
		if err != nil {
			return err
		}
		if v.Number == nil {
			return fmt.Errorf("invoice %s has no number", id)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}
