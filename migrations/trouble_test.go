package migrations_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
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
	if invalid, err := s.m.InvalidIndexes(t.Context()); err != nil || len(invalid) > 0 {
		t.Errorf("an index that is being made is taken for one left half built: %v, %v", invalid, err)
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

// Clients go on writing while an index is made, and all that they write is in it.
func TestIndexUnderWrites(t *testing.T) {
	t.Parallel()
	s := newSite(t, slow)
	s.shut()
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	written := make(chan error, 2)
	for range cap(written) {
		client := s.session("client")
		s.exec(client, `SET statement_timeout = '20s'`)
		go func() {
			for writing.Err() == nil {
				_, err := client.Exec(t.Context(), `INSERT INTO contacts (organization_id, id, name) VALUES ($1, gen_random_uuid(), 'late')`, mine)
				if err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	done := s.up()
	s.hears("building index")
	before := list(t, s.conn, `SELECT count(*)::text FROM contacts`)
	s.waitFor(`SELECT count(*) > $1::integer + 100 FROM contacts`, before[0])
	s.open()
	s.wants(done)
	stop()
	for range cap(written) {
		s.wants(written)
	}
	s.done()
	s.exec(s.conn, `SET enable_seqscan = off`)
	s.exec(s.conn, `VACUUM contacts`)
	const late = `SELECT count(*) FROM contacts WHERE organization_id = $1 AND gate(name) = 'late'`
	var byIndex, byTable int
	if err := s.conn.QueryRow(t.Context(), late, mine).Scan(&byIndex); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.QueryRow(t.Context(), `SELECT count(*) FROM contacts WHERE name = 'late'`).Scan(&byTable); err != nil {
		t.Fatal(err)
	}
	if byIndex != byTable || byTable < 100 {
		t.Errorf("the index has %d of %d contacts", byIndex, byTable)
	}
}

// A prepared transaction has no session that one could end.
func TestPreparedTransaction(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "payaid-test-prepared-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	pg, err := localstack.StartPostgres(t.Context(), localstack.PostgresOptions{Dir: dir, Settings: map[string]string{"max_prepared_transactions": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	url := pg.URL(pg.NewDatabase(t, ""))
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, url, connect(t, url), map[string]string{plainFile: plainUp})
	s.exec(s.conn, `BEGIN`)
	s.exec(s.conn, `SELECT FROM contacts LIMIT 1`)
	s.exec(s.conn, `PREPARE TRANSACTION 'forgotten'`)
	s.m.Patience = time.Second
	s.wantsError(s.up(), "a prepared transaction (see pg_prepared_xacts)", "ROLLBACK PREPARED")
	s.exec(s.conn, `ROLLBACK PREPARED 'forgotten'`)
	s.wants(s.up())
}
