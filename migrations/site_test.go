package migrations_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/migrations"
)

// patience bounds every wait of these tests: much longer than anything takes on a busy machine.
const patience = 60 * time.Second

const (
	slowFile = "90001_idx_slow.sql"
	slowUp   = `-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_slow ON contacts (organization_id, gate(name));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_slow;
`
	plainFile = "90002_plain.sql"
	plainUp   = `-- +goose Up
ALTER TABLE contacts ADD COLUMN planted integer;

-- +goose Down
ALTER TABLE contacts DROP COLUMN planted;
`
)

// site is a migrated database with one migration pending, whose index can be held in the middle of being
// built: whoever reads the one contact named gate waits until the gate is open.
type site struct {
	t    *testing.T
	url  string
	conn *pgx.Conn
	m    migrations.Migrator
	said chan string
	gate *pgx.Conn
}

func newSite(t *testing.T, files map[string]string) *site {
	url, conn := migrated(t)
	return siteAt(t, url, conn, files)
}

func siteAt(t *testing.T, url string, conn *pgx.Conn, files map[string]string) *site {
	t.Helper()
	s := &site{t: t, url: url, conn: conn, said: make(chan string, 10000)}
	s.m = migrations.Migrator{DatabaseURL: url, Patience: patience, Report: func(line string) { s.said <- line }}.WithFiles(files)
	s.exec(conn, `
		CREATE FUNCTION gate(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET lock_timeout TO 0 AS $$
		BEGIN
			IF name = 'gate' THEN
				PERFORM pg_advisory_lock_shared(4711);
				PERFORM pg_advisory_unlock_shared(4711);
			END IF;
			RETURN name;
		END $$`)
	s.exec(conn, `INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x')`, mine)
	s.exec(conn, `INSERT INTO contacts (organization_id, id, name, notes)
		SELECT $1, gen_random_uuid(), CASE n WHEN 300 THEN 'gate' ELSE 'x' END, repeat('x', 400) FROM generate_series(1, 500) n`, mine)
	return s
}

func (s *site) exec(conn *pgx.Conn, sql string, args ...any) {
	s.t.Helper()
	if _, err := conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// session is another program's.
func (s *site) session(name string) *pgx.Conn {
	s.t.Helper()
	conn := connect(s.t, s.url)
	s.exec(conn, `SELECT set_config('application_name', $1, false)`, name)
	return conn
}

// shut closes the gate; open opens it.
func (s *site) shut() {
	s.t.Helper()
	s.gate = s.session("gate")
	s.exec(s.gate, `SELECT pg_advisory_lock(4711)`)
}

func (s *site) open() {
	s.t.Helper()
	s.exec(s.gate, `SELECT pg_advisory_unlock(4711)`)
}

// snapshot is a session in the middle of a transaction that has read something, as of a report.
func (s *site) snapshot(name string) *pgx.Conn {
	s.t.Helper()
	conn := s.session(name)
	s.exec(conn, `BEGIN ISOLATION LEVEL REPEATABLE READ`)
	s.exec(conn, `SELECT FROM contacts LIMIT 1`)
	return conn
}

// up runs the migrator beside the test.
func (s *site) up() <-chan error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	s.t.Cleanup(cancel)
	go func() {
		_, err := s.m.Up(ctx)
		done <- err
	}()
	return done
}

// hears waits until the migrator says something with all the words in it.
func (s *site) hears(words ...string) string {
	s.t.Helper()
	var heard []string
	timeout := time.After(patience)
	for {
		select {
		case line := <-s.said:
			if containsAll(line, words...) {
				return line
			}
			heard = append(heard, line)
		case <-timeout:
			s.t.Fatalf("the migrator did not say %q but %q", words, heard)
		}
	}
}

func containsAll(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func (s *site) wants(done <-chan error) {
	s.t.Helper()
	select {
	case err := <-done:
		if err != nil {
			s.t.Fatalf("migrate: %v", err)
		}
	case <-time.After(patience):
		s.t.Fatal("the migrator doesn't come back")
	}
}

// wantsError wants the migrator to give up, and to say all the words.
func (s *site) wantsError(done <-chan error, words ...string) {
	s.t.Helper()
	select {
	case err := <-done:
		if err == nil || !containsAll(err.Error(), words...) {
			s.t.Fatalf("got %v, want an error with %q", err, words)
		}
	case <-time.After(patience):
		s.t.Fatal("the migrator doesn't come back")
	}
}

const stateOf = `
SELECT coalesce((SELECT CASE WHEN indisvalid AND indisready THEN 'valid' ELSE 'invalid' END
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = $1), 'absent')`

// index says what became of an index.
func (s *site) index(name string) string {
	s.t.Helper()
	return list(s.t, s.conn, stateOf, name)[0]
}

// done wants the pending index made and recorded.
func (s *site) done() {
	s.t.Helper()
	if got := s.index("idx_slow"); got != "valid" {
		s.t.Errorf("the index is %s", got)
	}
	recorded := list(s.t, s.conn, `SELECT count(*)::text FROM goose_db_version WHERE version_id = 90001`)[0]
	if recorded != "1" {
		s.t.Errorf("the migration is recorded %s times", recorded)
	}
}

// leave makes an index and leaves it half built, as an interrupted build does.
func (s *site) leave(name string) {
	s.t.Helper()
	reader := s.snapshot("reader")
	builder := s.session("builder")
	s.exec(builder, `SET lock_timeout = '100ms'`)
	if _, err := builder.Exec(s.t.Context(), fmt.Sprintf(`CREATE INDEX CONCURRENTLY %s ON contacts (organization_id, gate(name))`, name)); err == nil {
		s.t.Fatal("the index was made beside an old snapshot")
	}
	s.exec(reader, `ROLLBACK`)
	if got := s.index(name); got != "invalid" {
		s.t.Fatalf("the index %s is %s, want it half built", name, got)
	}
}
