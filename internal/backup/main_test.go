package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) {
	if settings, ok := os.LookupEnv(otherSettings); ok {
		os.Exit(beOther(settings))
	}
	os.Exit(localstack.RunTests(m))
}

// newDatabase is the address of a database with the product's tables.
func newDatabase(t *testing.T) string {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	return pg.URL(pg.NewDatabase(t, template))
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

func run(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// newFolder is a folder that is fit for backups, and is not there yet.
func newFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "backups")
}

func newKeeper(t *testing.T, c Config) *Keeper {
	t.Helper()
	if c.LockID == 0 {
		c.LockID = migrations.LockID
	}
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wantFault wants a fault of that code which says what to do.
func wantFault(t *testing.T, err error, code string) *Fault {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault %s", err, code)
	}
	if f.Code != code || f.Detail == "" || f.Remedy == "" {
		t.Fatalf("got fault %q: %q, remedy %q; want %q with a remedy", f.Code, f.Detail, f.Remedy, code)
	}
	t.Logf("%s: %s → %s", f.Code, f.Detail, f.Remedy)
	return f
}
