package store_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

func newDatabase(t *testing.T) string {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	return pg.URL(pg.NewDatabase(t, template))
}

func open(t *testing.T, url string, role store.Role) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: role, Name: "test", MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
