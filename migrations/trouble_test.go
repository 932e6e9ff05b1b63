package migrations_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/migrations"
)

var slow = map[string]string{slowFile: slowUp}

func TestIndexBesideAnOldSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	reader := s.snapshot("quarterly-report")
	done := s.up()
	s.hears("waits for", "quarterly-report", "in a transaction for")
	s.hears(slowFile, "could not have its lock", "quarterly-report", "tries again")
	s.hears("drops index idx_slow")
	s.exec(reader, `ROLLBACK`)
	s.wants(done)
	s.done()
}

func TestIndexGivesUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	reader := s.snapshot("quarterly-report")
	s.m.Patience = time.Second
	s.wantsError(s.up(), slowFile, "gave up after 1s", "quarterly-report", fmt.Sprintf("pg_terminate_backend(%d)", reader.PgConn().PID()))
	s.exec(reader, `ROLLBACK`)
	s.m.Patience = patience
	s.wants(s.up())
	s.done()
}

// DROP INDEX CONCURRENTLY waits as well, and leaves an index that is dead and still there.
func TestDownBesideAnOldSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.wants(s.up())
	reader := s.snapshot("quarterly-report")
	s.exec(reader, `SELECT FROM contacts WHERE organization_id = $1`, mine)
	done := make(chan error, 1)
	go func() { done <- s.m.Down(t.Context(), slowFile) }()
	s.hears("could not have its lock", "quarterly-report")
	s.exec(reader, `ROLLBACK`)
	s.wants(done)
	if got := s.index("idx_slow"); got != "absent" {
		t.Errorf("the index is %s", got)
	}
}

func TestLeftoverIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.leave("idx_slow")
	s.wants(s.up())
	s.hears("drops index idx_slow")
	s.done()
}

// The guide has operators make its indexes by hand.
func TestIndexMadeByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.exec(s.conn, `CREATE INDEX idx_slow ON contacts (organization_id, gate(name))`)
	before := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`)
	s.wants(s.up())
	s.done()
	if after := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`); after[0] != before[0] {
		t.Error("the index was made anew")
	}
}

func TestAnotherIndexOfTheName(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.exec(s.conn, `CREATE INDEX idx_slow ON contacts (organization_id, city)`)
	s.wantsError(s.up(), slowFile, "idx_slow", "(organization_id, city)", "gate(name)", "drop or rename it")
	if got := s.index("idx_slow"); got != "valid" {
		t.Errorf("the operator's index is %s", got)
	}
	s.exec(s.conn, `DROP INDEX idx_slow`)
	s.wants(s.up())
	s.done()
}

func TestIndexThatIsBeingBuilt(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	builder := s.session("operator")
	built := make(chan error, 1)
	go func() {
		_, err := builder.Exec(t.Context(), `CREATE INDEX CONCURRENTLY idx_slow ON contacts (organization_id, gate(name))`)
		built <- err
	}()
	s.waitFor(`SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted)`)
	done := s.up()
	s.hears("is being built by", "operator", "building index", "%")
	before := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`)
	s.open()
	s.wants(built)
	s.wants(done)
	s.done()
	if after := list(t, s.conn, `SELECT 'idx_slow'::regclass::oid::text`); after[0] != before[0] {
		t.Error("the index that was being built was dropped")
	}
}

// waitFor asks until the answer is true.
func (s *site) waitFor(question string, args ...any) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); time.Now().Before(until); <-tick.C {
		var yes bool
		if err := s.conn.QueryRow(s.t.Context(), question, args...).Scan(&yes); err != nil {
			s.t.Fatal(err)
		}
		if yes {
			return
		}
	}
	s.t.Fatalf("never true: %s", question)
}

func TestInvalidIndexesOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, advice := range map[string]string{
		"idx_by_hand":             "REINDEX INDEX CONCURRENTLY idx_by_hand",
		"idx_deals_org_id_ccnew":  "DROP INDEX CONCURRENTLY idx_deals_org_id_ccnew",
		"idx_deals_org_id_ccold1": "DROP INDEX CONCURRENTLY idx_deals_org_id_ccold1",
	} {
		s.leave(name)
		s.wantsError(s.up(), name, advice)
		if got := s.index(name); got != "invalid" {
			t.Errorf("the index %s is %s: it is not the migrator's", name, got)
		}
		s.exec(s.conn, strings.Replace(advice, "REINDEX", "DROP", 1))
	}
	s.wants(s.up())
}

func TestProgress(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	done := s.up()
	s.hears(slowFile, "building index: scanning table", " %", "waits for", "gate")
	now, err := s.m.Now(t.Context())
	if err != nil || !containsAll(strings.Join(now, "\n"), "a migration is running", "payaid-migrate", "idx_slow is being made", " %") {
		t.Errorf("going on now: %q, %v", now, err)
	}
	s.open()
	s.wants(done)
	s.done()
}

func TestBackupRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	backup := s.session("nightly-backup")
	s.exec(backup, `SELECT pg_advisory_lock($1)`, migrations.LockID)
	s.m.Patience = 300 * time.Millisecond
	s.wantsError(s.up(), "a backup or another migration", "nightly-backup", fmt.Sprint(backup.PgConn().PID()), "wait until it is over")
	s.m.Patience = patience
	done := s.up()
	s.hears("waits for the backup or migration of", "nightly-backup")
	// A session that waited in pg_advisory_lock would hold a snapshot, and this would wait for it.
	s.exec(backup, `CREATE INDEX CONCURRENTLY idx_meanwhile ON contacts (city)`)
	s.exec(backup, `DROP INDEX idx_meanwhile`)
	s.exec(backup, `SELECT pg_advisory_unlock($1)`, migrations.LockID)
	s.wants(done)
	s.done()
}

func TestTwoMigratorsOneIndex(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	first := s.up()
	s.hears("building index")
	second := s.up()
	s.hears("waits for the backup or migration of", "payaid-migrate")
	s.open()
	s.wants(first)
	s.wants(second)
	s.done()
}

// A long transaction keeps ALTER TABLE waiting, and ALTER TABLE everybody who comes after it.
func TestOthersGoOnMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{plainFile: plainUp})
	reader := s.snapshot("quarterly-report")
	done := s.up()
	s.hears(plainFile, "waits for", "quarterly-report")
	client := s.session("client")
	s.exec(client, `SET statement_timeout = '20s'`)
	for range 3 {
		s.exec(client, `SELECT count(*) FROM contacts`)
	}
	s.hears(plainFile, "could not have its lock", "quarterly-report")
	s.exec(reader, `ROLLBACK`)
	s.wants(done)
	s.exec(s.conn, `SELECT planted FROM contacts`)
}
