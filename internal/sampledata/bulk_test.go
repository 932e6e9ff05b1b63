package sampledata

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const schema = `
SELECT pg_get_indexdef(indexrelid) || ' ' || indisvalid FROM pg_index WHERE indrelid = ANY ($1::text[]::regclass[])
UNION ALL
SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) || ' ' || convalidated
FROM pg_constraint WHERE conrelid = ANY ($1::text[]::regclass[]) ORDER BY 1`

func schemaOf(t *testing.T, conn *pgx.Conn, tables []string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), schema, tables)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(lines) < 10 {
		t.Fatalf("%d lines: %v", len(lines), err)
	}
	return strings.Join(lines, "\n")
}

// TestBigLoad: a big load makes the same rows, and leaves the same indexes and constraints.
func TestBigLoad(t *testing.T) {
	t.Parallel()
	conn, small := newDatabase(t), newDatabase(t)
	o := Options{Organizations: 2, Contacts: 60, Deals: 80, Invoices: 70, Seed: 9, Today: testDay}
	mustFill(t, small, o)
	before := schemaOf(t, conn, filled)
	filenode := `SELECT pg_relation_filenode('idx_contacts_search')::bigint`
	first := number(t, conn, filenode)
	o.bigLoad = 1
	mustFill(t, conn, o)
	if after := schemaOf(t, conn, filled); after != before {
		t.Errorf("the schema was\n%s\nand is\n%s", before, after)
	}
	if number(t, conn, filenode) == first {
		t.Error("no index was made anew, so nothing was tried")
	}
	var got, want string
	if err := conn.QueryRow(t.Context(), everything).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if err := small.QueryRow(t.Context(), everything).Scan(&want); err != nil || got != want {
		t.Errorf("a big load made other rows: %v", err)
	}
	none(t, conn, "statistics are missing", `SELECT FROM pg_class WHERE relname IN ('contacts', 'deals', 'invoices') AND reltuples <= 0`)
}

// TestBigLoadBesideOthers: where somebody reads, the load does without the tables' own use.
func TestBigLoadBesideOthers(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	other, err := pgx.ConnectConfig(t.Context(), conn.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE deals IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	before := schemaOf(t, conn, filled)
	sum := mustFill(t, conn, Options{Organizations: 1, Contacts: 20, Deals: 20, Invoices: 20, Today: testDay, bigLoad: 1})
	if sum.Deals != 20 || schemaOf(t, conn, filled) != before {
		t.Errorf("made %+v", sum)
	}
}
