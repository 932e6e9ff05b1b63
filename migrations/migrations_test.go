package migrations_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

// asMigrator makes the test binary a migrator that a test can kill the hard way.
const asMigrator = "PAYAID_TEST_MIGRATOR_OF"

func TestMain(m *testing.M) {
	if url, ok := os.LookupEnv(asMigrator); ok {
		beMigrator(url)
		return
	}
	os.Exit(localstack.RunTests(m))
}

func newDatabase(t *testing.T) string {
	t.Helper()
	pg := localstack.TestPostgres(t)
	return pg.URL(pg.NewDatabase(t, ""))
}

func migrated(t *testing.T) (url string, conn *pgx.Conn) {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	url = pg.URL(pg.NewDatabase(t, template))
	return url, connect(t, url)
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

// list runs a query of one text column.
func list(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const tables = `
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1`

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t)
	steps, err := migrations.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	latest, err := migrations.Latest()
	if err != nil || steps[len(steps)-1].Version != latest {
		t.Fatalf("the newest of %v is not %d: %v", steps, latest, err)
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].AppliedAt.IsZero() {
			t.Fatalf("%s is pending after up", steps[i].Name)
		}
		if name, err := migrations.Down(t.Context(), url); err != nil || name != steps[i].Name {
			t.Fatalf("took back %q, %v; want %s", name, err, steps[i].Name)
		}
	}
	for _, table := range list(t, conn, tables) {
		if table != "goose_db_version" && !strings.HasPrefix(table, "river_") {
			t.Errorf("down leaves the table %s", table)
		}
	}
	if _, err := migrations.Down(t.Context(), url); err == nil {
		t.Error("taking back what isn't there succeeds")
	}
	applied, err := migrations.Up(t.Context(), url)
	if err != nil || len(applied) != len(steps) {
		t.Fatalf("up applied %v: %v", applied, err)
	}
	if applied, err := migrations.Up(t.Context(), url); err != nil || len(applied) != 0 {
		t.Errorf("a second up applied %v: %v", applied, err)
	}
}

// In production the login that migrates is no superuser, and the processes log in as it too.
func TestUpWithoutSuperuser(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t)
	if got := list(t, conn, `SELECT rolsuper || ' ' || rolcreaterole || ' ' || rolbypassrls FROM pg_roles WHERE rolname = current_user`); got[0] != "false true false" {
		t.Fatalf("superuser, may create roles, goes around row security: %s", got[0])
	}
	for _, role := range []store.Role{store.App, store.System} {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: role, Name: "test", MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		var is string
		if err := db.Pool().QueryRow(t.Context(), `SELECT current_user::text`).Scan(&is); err != nil || is != string(role) {
			t.Errorf("became %q, %v; want %s", is, err, role)
		}
	}
}

func TestMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	type result struct {
		applied []string
		err     error
	}
	results := make(chan result)
	const migrators = 3
	for range migrators {
		go func() {
			applied, err := migrations.Up(context.WithoutCancel(t.Context()), url)
			results <- result{applied, err}
		}()
	}
	var all []string
	for range migrators {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
		}
		all = append(all, r.applied...)
	}
	slices.Sort(all)
	if unique := slices.Compact(slices.Clone(all)); len(unique) != len(all) || len(all) == 0 {
		t.Errorf("applied %v, want each once", all)
	}
}

// Databases of one cluster share their roles, and may be migrated at the same time.
func TestMigrateDatabasesAtOnce(t *testing.T) {
	t.Parallel()
	errs := make(chan error)
	const databases = 3
	for range databases {
		url := newDatabase(t)
		go func() {
			_, err := migrations.Up(context.WithoutCancel(t.Context()), url)
			errs <- err
		}()
	}
	for range databases {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
