package migrations_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

func TestExtensionIsMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		plainFile:             plainUp,
		"90003_extension.sql": "-- +goose Up\nCREATE EXTENSION IF NOT EXISTS not_installed;\n",
	})
	s.wantsError(s.up(), "lacks the extension not_installed", "postgresql-contrib", "part of postgresql-1")
	if applied := list(t, s.conn, `SELECT version_id::text FROM goose_db_version WHERE version_id > 90000`); len(applied) > 0 {
		t.Errorf("%s was applied: it should be known before", applied)
	}
}

func TestExtensionNeedsSuperuser(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"90003_extension.sql": "-- +goose Up\nCREATE EXTENSION IF NOT EXISTS pg_stat_statements;\n"})
	s.wantsError(s.up(), "only a superuser", "CREATE EXTENSION pg_stat_statements")
}

// Each login lacks one right, and the error says how to give it.
func TestLoginWithoutRights(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	for name, c := range map[string]struct{ login, grant, want string }{
		"tables": {"CREATEROLE", "", "may not create tables in the database"},
		"roles":  {"NOCREATEROLE", "ALTER DATABASE %d OWNER TO %u", "ALTER ROLE"},
		"inside": {"CREATEROLE", "GRANT ALL ON SCHEMA public TO %u", "GRANT CREATE ON DATABASE"},
	} {
		t.Run(name, func(t *testing.T) {
			database := pg.NewDatabase(t, "")
			super := connect(t, pg.SuperURL(database))
			user := "poor_" + name
			for _, sql := range []string{
				"CREATE ROLE " + user + " LOGIN PASSWORD 'x' " + c.login,
				"ALTER DATABASE " + database + " OWNER TO postgres",
				replace(c.grant, database, user),
			} {
				if _, err := super.Exec(t.Context(), sql); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			address, err := url.Parse(pg.URL(database))
			if err != nil {
				t.Fatal(err)
			}
			address.User = url.UserPassword(user, "x")
			_, err = migrations.Up(t.Context(), address.String())
			if err == nil || !containsAll(err.Error(), c.want, user, "then migrate again") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if made := list(t, super, tables); len(made) > 1 {
				t.Errorf("%v were made before it was known", made)
			}
		})
	}
}

func replace(sql, database, user string) string {
	for from, to := range map[string]string{"%d": database, "%u": user} {
		sql = strings.ReplaceAll(sql, from, pgx.Identifier{to}.Sanitize())
	}
	return sql
}
