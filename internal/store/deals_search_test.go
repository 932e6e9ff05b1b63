package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// Of the first organization's deals every third is a Renewal, every 300th an ERP rollout, every 4000th an Audit;
// the oldest 60 are from Before, and some have what LIKE takes for a wildcard. The second has the same, but few.
const insertManyDeals = `
INSERT INTO deals (organization_id, id, contact_id, title, value, stage, probability)
SELECT o, ('0197aaaa-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, o,
       'Q' || i || CASE WHEN i % 3 = 0 THEN ' Renewal' ELSE '' END || CASE WHEN i % 300 = 7 THEN ' ERP rollout' ELSE '' END
       || CASE WHEN i % 4000 = 1 THEN ' Audit, 100%_\' ELSE '' END || CASE WHEN i <= 60 THEN ' Before' ELSE '' END
       || CASE WHEN i % 1000 = 2 THEN ' 100 per cent' ELSE '' END,
       i, CASE WHEN i % 40 = 1 THEN 'proposal' ELSE 'lead' END, 10
FROM generate_series(1, 13000) AS i, LATERAL (SELECT CASE WHEN i % 50 = 49 THEN $2::uuid ELSE $1::uuid END) AS tenant (o)`

func searchableDeals(t *testing.T) (url string, owner *pgx.Conn) {
	t.Helper()
	url = newDatabase(t)
	owner = connect(t, url)
	withContact(t, owner, manyOrg)
	withContact(t, owner, fewOrg)
	if _, err := owner.Exec(t.Context(), insertManyDeals, manyOrg, fewOrg); err != nil {
		t.Fatal(err)
	}
	return url, owner
}

func words(text string) store.Words {
	w := store.ParseWords(text)
	w.Within = time.Minute
	return w
}

// foundDeals reads the list that a search gives to its end.
func foundDeals(t *testing.T, db *store.DB, org, text string, f store.DealFilter) (ids []string) {
	t.Helper()
	for {
		deals, err := db.SearchDeals(t.Context(), org, words(text), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deals {
			ids = append(ids, d.ID)
		}
		if len(deals) < f.Limit {
			return ids
		}
		f.Before = ids[len(ids)-1]
	}
}

// However far apart the matches lie, and whatever the page size, a search finds what a look at every title does,
// in the same order.
func TestSearchForDealsFindsAllInOrder(t *testing.T) {
	t.Parallel()
	url, owner := searchableDeals(t)
	db := open(t, url, store.App)
	for _, text := range []string{"renewal", "RENEWAL", "erp", "erp rollout", "  audit ", "before", "q12", "q1299", "w", "al", "rp ro", "nothing",
		"zz", "100%", "%", "_", `\`, "100%_", `%_\`, "100 per", "q1 renewal", "rollout erp", "erp renewal",
		"audit q8001", "before a q1", "e r", "% audit", "q12 nothing", "audit before", "rollout rollout ERP", "1 2 3 4 5 6 7 q r e"} {
		for _, f := range []store.DealFilter{{}, {Stage: "proposal"}, {Status: "open"}, {Status: "won"}, {ContactID: manyOrg, Stage: "lead"}} {
			for _, org := range []string{manyOrg, fewOrg} {
				rows, err := owner.Query(t.Context(), `
					SELECT id::text FROM deals WHERE organization_id = $1 AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS w WHERE strpos(lower(title), lower(w)) = 0) AND ($3 = '' OR stage = $3)
					AND ($4 = '' OR status = $4) AND ($5 = '' OR contact_id::text = $5) ORDER BY deals.id DESC`, org, strings.Fields(text), f.Stage, f.Status, f.ContactID)
				if err != nil {
					t.Fatal(err)
				}
				want, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if err != nil {
					t.Fatal(err)
				}
				f.Limit = 201
				if len(want) < 300 {
					f.Limit = 11
				}
				if got := foundDeals(t, db, org, text, f); !slices.Equal(got, want) {
					t.Errorf("%q %+v in %s: got %d, want %d", text, f, org, len(got), len(want))
				}
			}
		}
	}
}

// The function looks with the owner's eyes, so it must answer for the transaction's organization alone.
func TestSearchForDealsKnowsNoOtherOrganization(t *testing.T) {
	t.Parallel()
	_, owner := searchableDeals(t)
	count := func(role, org string) (n int, err error) {
		err = pgx.BeginFunc(t.Context(), owner, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), fmt.Sprintf(`SET LOCAL ROLE %s`, role)); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `SELECT set_config('app.organization_id', $1, true)`, org); err != nil {
				return err
			}
			return tx.QueryRow(t.Context(), `SELECT count(*) FROM search_deals('{%q%}'::text[], NULL, NULL, NULL, NULL, 100000)`).Scan(&n)
		})
		return n, err
	}
	for org, want := range map[string]int{"": 0, fewOrg: 260, manyOrg: 12740, organization: 0} {
		if n, err := count("payaid_app", org); err != nil || n != want {
			t.Errorf("as %q: %d matches, want %d: %v", org, n, want, err)
		}
	}
	if n, err := count("payaid_system", fewOrg); err == nil {
		t.Errorf("the system, which has no use for it, may search: %d", n)
	}
}

// A search that takes longer than it may is given up, and the connection is as good as before.
func TestSearchForDealsIsGivenUp(t *testing.T) {
	t.Parallel()
	url, _ := searchableDeals(t)
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	moment := store.ParseWords("zz")
	moment.Within = time.Millisecond
	// No index helps with two characters that are nowhere: it looks at all titles, which takes more than a moment.
	if _, err := db.SearchDeals(t.Context(), manyOrg, moment, store.DealFilter{Limit: 10}); !errors.Is(err, store.ErrTooSlow) {
		t.Errorf("got %v", err)
	}
	var timeout string
	if err := db.Pool().QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&timeout); err != nil || timeout != "0" {
		t.Errorf("the connection was left with a timeout of %s, %v", timeout, err)
	}
}
