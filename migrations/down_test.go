package migrations_test

import (
	"database/sql"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of database/sql
	"github.com/pressly/goose/v3"

	"github.com/payaid/payaid/migrations"
)

// catalog writes the schema down. Partitions of a day come and go with the calendar, rights of a table
// that nobody was given any are NULL before and the owner's after, and River's tables stay.
const catalog = `
WITH relations AS (
    SELECT oid, oid::regclass::text AS name, relkind::text, relacl, relowner, relrowsecurity FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname !~ '^outbox_[0-9]{8}' AND relkind <> 't'
)
SELECT format('relation %s %s %s', name, relkind, relrowsecurity) FROM relations
UNION ALL SELECT format('column %s.%s %s %s %s %s', name, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated,
                        pg_get_expr(d.adbin, d.adrelid))
          FROM relations JOIN pg_attribute a ON a.attrelid = oid AND attnum > 0 AND NOT attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE relkind IN ('r', 'p')
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '^outbox_[0-9]{8}'
UNION ALL SELECT format('constraint %s %s %s', name, conname, pg_get_constraintdef(c.oid)) FROM relations r JOIN pg_constraint c ON c.conrelid = r.oid
UNION ALL SELECT format('policy %s %s %s %s %s', tablename, policyname, roles, qual, with_check) FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT tgisinternal
UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p
          WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' AND NOT EXISTS (
              SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
UNION ALL SELECT format('right %s %s %s', p.oid::regprocedure, a.grantee::regrole, a.privilege_type) FROM pg_proc p, aclexplode(proacl) a
          WHERE pronamespace = 'public'::regnamespace AND a.grantee <> p.proowner
UNION ALL SELECT format('right %s %s %s', name, a.grantee::regrole, a.privilege_type) FROM relations, aclexplode(relacl) a
          WHERE a.grantee <> relowner
UNION ALL SELECT format('right %s.%s %s %s', name, attname, a.grantee::regrole, a.privilege_type)
          FROM relations JOIN pg_attribute ON attrelid = oid, aclexplode(attacl) a
ORDER BY 1`

// Going down through a version leaves what going up through it had made, to the last right.
func TestDownLeavesWhatWasBefore(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	// Once up and down has River's tables, the extensions and what else stays.
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	full := list(t, conn, catalog)
	steps, err := migrations.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	for range steps {
		if _, err := migrations.Down(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	before := make(map[string][]string)
	for _, step := range steps {
		before[step.Name] = list(t, conn, catalog)
		if _, err := provider.UpByOne(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(full, list(t, conn, catalog)); diff != "" {
		t.Errorf("the schema is another one after down and up:\n%s", diff)
	}
	for range steps {
		name, err := migrations.Down(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		after := slices.DeleteFunc(list(t, conn, catalog), func(line string) bool {
			// 00005 gives the right to every sequence there is, and its way down leaves it: it shows nothing.
			return line == "right dead_events_id_seq payaid_system USAGE" && !slices.Contains(before[name], line)
		})
		if diff := cmp.Diff(before[name], after); diff != "" {
			t.Errorf("taking back %s leaves another schema:\n%s", name, diff)
		}
	}
}

func TestNextDown(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"90003_table.sql": `-- +goose Up
CREATE TABLE harvest (id uuid PRIMARY KEY);
INSERT INTO harvest SELECT gen_random_uuid() FROM generate_series(1, 42);

-- +goose Down
DROP TABLE harvest;
`})
	s.wants(s.up())
	undo, err := s.m.NextDown(t.Context())
	if err != nil || undo.Name != "90003_table.sql" || undo.Script != "DROP TABLE harvest;" || strings.Join(undo.Lost, " ") != "harvest (42 rows)" {
		t.Errorf("got %+v, %v", undo, err)
	}
	if err := s.m.Down(t.Context(), "00001_organizations.sql"); err == nil {
		t.Error("an older migration than the newest was taken back")
	}
	if n := list(t, s.conn, `SELECT count(*)::text FROM harvest`); n[0] != "42" {
		t.Errorf("asking changed something: %s rows", n[0])
	}
	if err := s.m.Down(t.Context(), undo.Name); err != nil {
		t.Fatal(err)
	}
	if left := list(t, s.conn, `SELECT relname::text FROM pg_class WHERE relname = 'harvest'`); len(left) > 0 {
		t.Error("down leaves the table")
	}
}

func TestDownOfANewerDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.wants(s.up())
	older := migrations.Migrator{DatabaseURL: s.url}
	if _, err := older.NextDown(t.Context()); err == nil || !containsAll(err.Error(), "version 90001", "doesn't know") {
		t.Errorf("an older program: %v", err)
	}
	if applied, err := older.Up(t.Context()); err != nil || len(applied) > 0 {
		t.Errorf("an older program applies %v, %v", applied, err)
	}
}
