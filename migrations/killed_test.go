package migrations_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// beMigrator applies the slow index and says what it does.
func beMigrator(url string) {
	m := migrations.Migrator{DatabaseURL: url, Report: func(line string) { fmt.Println(line) }}.WithFiles(slow)
	if _, err := m.Up(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// killed has a migrator process begin to build the slow index, and kills it in the middle.
func (s *site) killed() {
	s.t.Helper()
	program, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	process := exec.CommandContext(s.t.Context(), program)
	process.Env = append(os.Environ(), asMigrator+"="+s.url)
	said, err := process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer process.Wait()
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "building index") {
			break
		}
	}
	if err := process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
}

const builderPid = `SELECT pid::text FROM pg_stat_progress_create_index WHERE datname = current_database()`

// Postgres builds on for a client that is gone, so the next migrator finds it at it.
func TestKilledMigratorsIndexIsTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	s.killed()
	orphan := list(t, s.conn, builderPid)
	done := s.up()
	s.hears("is being built by", "pid "+orphan[0])
	before := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`)
	s.open()
	s.wants(done)
	s.done()
	if after := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`); after[0] != before[0] {
		t.Error("the index that was being built was dropped")
	}
}

func TestKilledMigratorsLeftoverIsMended(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	s.killed()
	s.exec(s.conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE datname = current_database()`)
	s.waitFor(`SELECT NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE datname = current_database())`)
	if got := s.index("idx_slow"); got != "invalid" {
		t.Fatalf("the killed migrator's index is %s, want it half built", got)
	}
	s.open()
	s.wants(s.up())
	s.hears("drops index idx_slow")
	s.done()
}

// Without the lock a migrator must not go on as if it had it.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	done := s.up()
	s.hears("building index")
	holder := list(t, s.conn, `SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) -- other tests hold it in theirs
		AND (classid::bigint << 32) | objid::bigint = $1`, migrations.LockID)
	s.exec(s.conn, `SELECT pg_terminate_backend($1::integer)`, holder[0])
	s.hears("the database is away", "migration lock was lost")
	s.open()
	s.wants(done)
	s.done()
}

func TestBuildIsTerminated(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	done := s.up()
	s.hears("building index")
	s.exec(s.conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE datname = current_database()`)
	s.hears("the database is away")
	s.open()
	s.wants(done)
	s.done()
}

func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	url := pg.URL(pg.NewDatabase(t, ""))
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, url, connect(t, url), slow)
	s.shut()
	done := s.up()
	s.hears("building index")
	pg.Kill()
	s.hears("the database is away")
	s.wants(done)
	s.conn = connect(t, url)
	s.done()
}
