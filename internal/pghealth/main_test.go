package pghealth

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

// site is a migrated database, seen by its owner and by the role that watches it.
type site struct {
	*testing.T
	url          string
	super, owner *pgx.Conn
	system       *pgx.Conn
	pg           *localstack.Postgres
	limits       Thresholds
}

// onEach runs a test on every version of Postgres.
func onEach(t *testing.T, test func(s *site), before ...func(*site)) {
	t.Helper()
	t.Parallel()
	for _, major := range localstack.PostgresMajors() {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			pg, template := localstack.TestTemplateOf(t, major, migrations.Up)
			s := newSite(t, pg, template)
			for _, prepare := range before {
				prepare(s)
			}
			test(s)
		})
	}
}

// onNewest is a site of the newest version alone.
func onNewest(t *testing.T) *site {
	t.Helper()
	majors := localstack.PostgresMajors()
	pg, template := localstack.TestTemplateOf(t, majors[len(majors)-1], migrations.Up)
	return newSite(t, pg, template)
}

func newSite(t *testing.T, pg *localstack.Postgres, template string) *site {
	t.Helper()
	return newSiteOf(t, pg, pg.NewDatabase(t, template))
}

// newSiteOf is one of a database that is there.
func newSiteOf(t *testing.T, pg *localstack.Postgres, database string) *site {
	t.Helper()
	s := &site{T: t, pg: pg, url: pg.URL(database), limits: DefaultThresholds()}
	s.super, s.owner, s.system = s.connect(pg.SuperURL(database)), s.connect(s.url), s.connect(s.url)
	exec(t, s.system, `SET ROLE payaid_system`)
	return s
}

func (s *site) connect(url string) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), url)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// do runs statements as the owner.
func (s *site) do(statements ...string) {
	s.Helper()
	exec(s.T, s.owner, statements...)
}

// settle has the statistics of what was done until now seen by all.
func (s *site) settle() {
	s.Helper()
	for _, conn := range []*pgx.Conn{s.owner, s.super} {
		exec(s.T, conn, `SELECT pg_stat_force_next_flush()`, `SELECT 1`)
	}
}

// sample takes one.
func (s *site) sample() Taken {
	s.Helper()
	s.settle()
	var taken Taken
	err := pgx.BeginFunc(s.Context(), s.system, func(tx pgx.Tx) (err error) {
		taken, err = Take(s.Context(), tx, uuid.NewString())
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return taken
}

// age moves all samples into the past.
func (s *site) age(by string) {
	s.Helper()
	exec(s.T, s.super,
		`SELECT index_samples_make_partitions(1)`,
		`CREATE TEMPORARY TABLE aged AS SELECT * FROM index_samples`, `CREATE TEMPORARY TABLE aged_tables AS SELECT * FROM table_samples`,
		`DELETE FROM index_samples`, `DELETE FROM table_samples`, `DELETE FROM index_sample_days`, // which are added up again
		`DO $$ BEGIN
		   IF to_regclass('index_samples_past') IS NULL THEN
		     CREATE TABLE index_samples_past PARTITION OF index_samples DEFAULT;
		     CREATE TABLE table_samples_past PARTITION OF table_samples DEFAULT;
		   END IF; END $$`,
		`UPDATE index_sample_runs SET taken_at = taken_at - interval '`+by+`'`,
		`UPDATE aged SET taken_at = taken_at - interval '`+by+`'`, `UPDATE aged_tables SET taken_at = taken_at - interval '`+by+`'`,
		`INSERT INTO index_samples SELECT * FROM aged`, `INSERT INTO table_samples SELECT * FROM aged_tables`,
		`DROP TABLE aged`, `DROP TABLE aged_tables`)
}

// examine looks at the database.
func (s *site) examine() *Report {
	s.Helper()
	s.settle()
	var r *Report
	err := pgx.BeginFunc(s.Context(), s.system, func(tx pgx.Tx) (err error) {
		r, err = Examine(s.Context(), tx, Options{Thresholds: &s.limits})
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// findings lists what was found, as kind and object, without what is kept on purpose.
func (r *Report) list() []string {
	all := []string{}
	for _, f := range r.Findings {
		if f.Kept == "" {
			all = append(all, f.Kind+" "+strings.TrimSuffix(f.Table+"."+f.Index, "."))
		}
	}
	return all
}

// of gives the finding of a kind about an index, or table.
func (r *Report) of(t *testing.T, kind, object string) *Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Kind == kind && (f.Index == object || f.Index == "" && f.Table == object) {
			return f
		}
	}
	t.Fatalf("no %s of %s among %q", kind, object, r.list())
	return nil
}

// index gives one by its name.
func (r *Report) index(t *testing.T, name string) *Index {
	t.Helper()
	for _, i := range r.Indexes {
		if i.Name == name {
			return i
		}
	}
	t.Fatalf("there is no index %s", name)
	return nil
}
