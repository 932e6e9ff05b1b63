package localstack

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// Each version is what it says, works with the extensions that the tests need, and comes back after a crash.
func TestEveryPostgres(t *testing.T) {
	t.Parallel()
	for _, major := range PostgresMajors() {
		pg := NewPostgresOf(t, major)
		database := pg.NewDatabase(t, "")
		pg.Kill()
		if err := pg.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), pg.SuperURL(database))
		if err != nil {
			t.Fatal(err)
		}
		var is int
		err = conn.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::integer / 10000`).Scan(&is)
		if err != nil || is != major {
			t.Errorf("asked for Postgres %d, got %d, %v", major, is, err)
		}
		for _, extension := range []string{"pg_stat_statements", "pgstattuple", "pg_trgm"} {
			if _, err := conn.Exec(t.Context(), `CREATE EXTENSION `+extension); err != nil {
				t.Errorf("Postgres %d: %v", major, err)
			}
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
