package sampledata

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

// The day of the tests, far enough from 1 April for two financial years, and after new rates.
var testDay = time.Date(2026, time.November, 20, 12, 0, 0, 0, india)

// newDatabase is a connection of the owner of a migrated database.
func newDatabase(t *testing.T) *pgx.Conn {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	conn, err := pgx.Connect(t.Context(), pg.URL(pg.NewDatabase(t, template)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func mustFill(t *testing.T, conn *pgx.Conn, o Options) Summary {
	t.Helper()
	sum, err := Fill(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func number(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// none wants a query to find no row.
func none(t *testing.T, conn *pgx.Conn, what, sql string, args ...any) {
	t.Helper()
	if n := number(t, conn, `SELECT count(*) FROM (`+sql+`) AS found`, args...); n != 0 {
		t.Errorf("%s: %d rows", what, n)
	}
}
