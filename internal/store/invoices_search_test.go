package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

func TestInvoiceSearchIsGivenUp(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	// One connection, on which the statement is prepared before its table is locked.
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	search := func(within time.Duration) error {
		w := store.ParseWords("x")
		w.Within = within
		_, err := db.SearchInvoices(t.Context(), seller, w, store.InvoiceFilter{Limit: 1})
		return err
	}
	if err := search(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	blocker := connect(t, url)
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), `LOCK TABLE invoices`); err != nil {
		t.Fatal(err)
	}
	if err := search(100 * time.Millisecond); !errors.Is(err, store.ErrTooSlow) {
		t.Errorf("got %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The limit went with the search.
	if _, err := db.Pool().Exec(t.Context(), `SELECT pg_sleep(0.2)`); err != nil {
		t.Errorf("the connection keeps the limit: %v", err)
	}
}

// The function sees with the owner's eyes, so it must be blind without an organization.
func TestInvoiceSearchSeesOneOrganization(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.must(`RESET ROLE`)
	g.must(`SET ROLE payaid_app`)
	const found = `SELECT count(*) FROM search_invoices('{%}'::text[], NULL, NULL, NULL, 100)`
	for organization, want := range map[string]int{"": 0, seller: len(statuses), "0197aaaa-0000-7000-8000-00000000000b": 0} {
		tx, err := g.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := tx.Exec(t.Context(), `SELECT set_config('app.organization_id', $1, true)`, organization); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), found).Scan(&n); err != nil || n != want {
			t.Errorf("as %q: %d invoices, want %d, %v", organization, n, want, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
