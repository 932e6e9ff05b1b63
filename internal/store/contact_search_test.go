package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const manyOrg, fewOrg = "0197aaaa-0000-7000-8000-00000000000a", "0197aaaa-0000-7000-8000-00000000000b"

// Of the first organization's contacts every 5th is a Kumar, every 100th a Rao, every 700th a Zubin; the first
// 400, which are the oldest, are Old. The second organization has the same names, and few of them.
const insertMany = `
INSERT INTO contacts (organization_id, id, name, company, status)
SELECT CASE WHEN i % 50 = 49 THEN $2::uuid ELSE $1::uuid END, ('0197aaaa-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
       'N' || i || CASE WHEN i % 5 = 0 THEN ' Kumar' ELSE '' END || CASE WHEN i % 100 = 0 THEN ' Rao' ELSE '' END
                || CASE WHEN i % 700 = 1 THEN ' Zubin' ELSE '' END || CASE WHEN i < 400 THEN ' Old' ELSE '' END
                || CASE WHEN i % 50 = 49 THEN ' Kumar Zubin' ELSE '' END,
       CASE WHEN i % 3 = 0 THEN 'Xylo Traders' END, CASE WHEN i % 40 = 1 THEN 'inactive' ELSE 'active' END
FROM generate_series(1, 12000) AS i`

func searchable(t *testing.T) (url string, owner *pgx.Conn) {
	t.Helper()
	url = newDatabase(t)
	owner = connect(t, url)
	for _, sql := range []string{`INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x'), ($2, 'x', 'x')`, insertMany} {
		if _, err := owner.Exec(t.Context(), sql, manyOrg, fewOrg); err != nil {
			t.Fatal(err)
		}
	}
	return url, owner
}

// However far apart the matches lie, and whatever the page size, a search finds what a look at every row does,
// in the same order.
func TestSearchFindsAllInOrder(t *testing.T) {
	t.Parallel()
	url, owner := searchable(t)
	db := open(t, url, store.App)
	for _, c := range []struct{ q, status, condition string }{
		{"kumar", "", `search LIKE '%kumar%'`},
		{"rao", "", `search LIKE '%rao%'`},
		{"zubin", "", `search LIKE '%zubin%'`},
		{"old", "", `search LIKE '%old%'`},
		{"old kumar", "", `search LIKE '%old%' AND search LIKE '%kumar%'`},
		{"xylo rao", "", `search LIKE '%xylo%' AND search LIKE '%rao%'`},
		{"n1", "", `search LIKE 'n1%'`},
		{"z", "", `search LIKE '% z%'`},
		{"x o", "", `search LIKE '% x%' AND search LIKE '% o%'`},
		{"n11999", "", `search LIKE '%n11999%'`},
		{"nobody", "", `false`},
		{"n", "inactive", `search LIKE 'n%' AND status = 'inactive'`},
		{"zubin", "inactive", `search LIKE '%zubin%' AND status = 'inactive'`},
		{"old", "active", `search LIKE '%old%' AND status = 'active'`},
	} {
		for _, org := range []string{manyOrg, fewOrg} {
			rows, err := owner.Query(t.Context(), `SELECT id::text FROM contacts WHERE organization_id = $1 AND `+c.condition+` ORDER BY contacts.id DESC`, org)
			if err != nil {
				t.Fatal(err)
			}
			want, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int{7, 51, 201} {
				f := store.ContactFilter{Search: store.ParseContactSearch(c.q), Status: c.status, Limit: limit}
				if got := found(t, db, org, f); !slices.Equal(got, want) {
					t.Errorf("%q %s by %d in %s: got %d, want %d", c.q, c.status, limit, org, len(got), len(want))
				}
			}
		}
	}
}

// found reads a list to its end.
func found(t *testing.T, db *store.DB, org string, f store.ContactFilter) (ids []string) {
	t.Helper()
	for {
		contacts, err := db.Contacts(t.Context(), org, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range contacts {
			ids = append(ids, c.ID)
		}
		if len(contacts) < f.Limit {
			return ids
		}
		f.Before = ids[len(ids)-1]
	}
}

// The function looks with the owner's eyes, so it must answer for the transaction's organization alone.
func TestSearchKnowsNoOtherOrganization(t *testing.T) {
	t.Parallel()
	_, owner := searchable(t)
	const search = `SELECT count(*) FROM search_contacts('{%zubin%}', '{}', '', '', '', NULL, 100000)`
	count := func(role, org string) (n int, err error) {
		err = pgx.BeginFunc(t.Context(), owner, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), fmt.Sprintf(`SET LOCAL ROLE %s`, role)); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `SELECT set_config('app.organization_id', $1, true)`, org); err != nil {
				return err
			}
			return tx.QueryRow(t.Context(), search).Scan(&n)
		})
		return n, err
	}
	for org, want := range map[string]int{"": 0, fewOrg: 240, manyOrg: 18, "0197aaaa-0000-7000-8000-00000000000c": 0} {
		if n, err := count("payaid_app", org); err != nil || n != want {
			t.Errorf("as %q: %d matches, want %d: %v", org, n, want, err)
		}
	}
	if n, err := count("payaid_system", fewOrg); err == nil {
		t.Errorf("the system, which has no use for it, may search: %d", n)
	}
}

// A rare word beyond the newest contacts is found by the index, not by a look at every row.
func TestSearchUsesTheIndex(t *testing.T) {
	t.Parallel()
	url, owner := searchable(t)
	if _, err := owner.Exec(t.Context(), `VACUUM ANALYZE contacts`); err != nil {
		t.Fatal(err)
	}
	// In a table of this size a look at every row costs no more, so Postgres is told that it does.
	sql := fmt.Sprintf(`ALTER DATABASE %s SET enable_seqscan = off`, owner.Config().Database)
	if _, err := owner.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	scans := func() (n, entries int) {
		if _, err := owner.Exec(t.Context(), `SELECT pg_stat_clear_snapshot()`); err != nil {
			t.Fatal(err)
		}
		if err := owner.QueryRow(t.Context(), `SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'idx_contacts_search'`).Scan(&n, &entries); err != nil {
			t.Fatal(err)
		}
		return n, entries
	}
	before, entriesBefore := scans()
	db := open(t, url, store.App)
	if got := found(t, db, manyOrg, store.ContactFilter{Search: store.ParseContactSearch("n17 zubin"), Limit: 50}); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	// A session tells the statistics when it ends.
	db.Close()
	after, entries := scans()
	for deadline := time.Now().Add(10 * time.Second); after == before; after, entries = scans() {
		if time.Now().After(deadline) {
			t.Fatal("the index of trigrams was not looked at")
		}
	}
	// Without the trigrams it gives all that the organization has.
	if n := entries - entriesBefore; n > 100 {
		t.Errorf("the index gave %d contacts for a search that none matches", n)
	}
}
