package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// bulkTable is the table of a worker that carries out bulk actions, and works nothing else.
func (s *site) bulkTable() (table []jobs.Job) {
	for _, j := range jobs.All(jobs.Deps{DB: s.db, Relaxed: s.relaxed, Hints: hint.New(s.nc), Log: s.logged.log()}) {
		if j.Kind == "admin.bulk" {
			table = append(table, j)
		}
	}
	return append(table, s.table()...)
}

func (s *site) bulkWorker() { s.worker(s.carriesOut) }

func (s *site) carriesOut(c *Config) {
	c.Table, c.Queues = s.bulkTable(), map[string]int{"maintenance": 1}
}

// failedJobs makes so many jobs that failed, of ten organizations.
func (s *site) failedJobs(n int) {
	s.t.Helper()
	s.owner(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, attempt, finished_at)
		SELECT ('0197aaaa-0000-7000-8000-00000000000' || i % 10)::uuid, ('0197bbbb-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'test.play', 'ai',
			'failed', 3, '{}', '{"code": "x", "detail": "y"}', gen_random_uuid(), 3, now() FROM generate_series(1, $1) AS i`, n)
}

// owner runs a statement as the owner of the tables.
func (s *site) owner(sql string, args ...any) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	if _, err := conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// bulk asks for something to be done with all jobs that match, as the API does.
func (s *site) bulk(action string, f store.AdminJobFilter, total int) (id string) {
	s.t.Helper()
	m, err := s.db.MatchJobs(s.t.Context(), f, patience)
	if err != nil || len(m.Items) != total || m.Capped {
		s.t.Fatalf("%d match (capped %t), %v; want %d", len(m.Items), m.Capped, err, total)
	}
	id = outbox.NewID()
	s.tx(func(tx pgx.Tx) error {
		b := store.BulkAction{ID: id, Action: action, Filter: json.RawMessage(`{}`),
			AskedBy: store.BulkAsker{KeyID: "admin", KeyOf: store.OperatorOrganization, Role: store.RoleAdmin}}
		_, err := store.InsertBulkAction(s.t.Context(), tx, b, m.Items)
		return err
	})
	return id
}

// carryOut starts what the fact starts.
func (s *site) carryOut(id string) {
	s.t.Helper()
	client, err := NewInserter(s.db.Pool(), s.bulkTable(), s.logged.log())
	if err != nil {
		s.t.Fatal(err)
	}
	inserts := jobs.Route(s.bulkTable(), events.Envelope{ID: outbox.NewID(), OrganizationID: store.OperatorOrganization}, events.BulkRequested{BulkID: id})
	if len(inserts) != 1 {
		s.t.Fatalf("the fact starts %d jobs", len(inserts))
	}
	s.tx(func(tx pgx.Tx) error {
		_, err := client.InsertManyFastTx(s.t.Context(), tx, inserts)
		return err
	})
}

func (s *site) bulkAction(id string) (b store.BulkAction) {
	s.t.Helper()
	s.tx(func(tx pgx.Tx) (err error) {
		b, err = store.ReadBulkAction(s.t.Context(), tx, id)
		return err
	})
	return b
}

// bulkEnds waits for the end and wants the report.
func (s *site) bulkEnds(id, status string, done int, reasons map[string]int) store.BulkAction {
	s.t.Helper()
	var b store.BulkAction
	eventually(s.t, "the bulk action is over", func() error {
		if b = s.bulkAction(id); !b.Over() {
			return fmt.Errorf("it is %s at %d of %d", b.Status, b.Position, b.Total)
		}
		return nil
	})
	if b.Status != status || b.Done != done || !maps.Equal(b.Reasons, reasons) || b.Position != b.Done+b.Skipped+b.Failed {
		s.t.Errorf("got %s, %d done, %d skipped, %d failed, reasons %v; want %s, %d, %v", b.Status, b.Done, b.Skipped, b.Failed, b.Reasons,
			status, done, reasons)
	}
	var audited int
	s.scan(&audited, `SELECT count(*) FROM audit_log WHERE action = 'bulk.end' AND target_id = $1 AND (after ->> 'done')::int = $2`, id, done)
	if audited != 1 {
		s.t.Errorf("the end is %d times in the audit log", audited)
	}
	return b
}

var failedOnes = store.AdminJobFilter{Status: store.Failed}

// The process that retries 10,000 jobs is killed in the middle. Another goes on: each job has one new run, and one fact
// says so. What has changed since it was asked is left as it is.
func TestKilledBulk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const n = 10_000
	s.failedJobs(n)
	id := s.bulk(store.BulkRetry, failedOnes, n)
	s.owner(`UPDATE jobs SET run = 2 WHERE id::text LIKE '%000000000__1'`)                                          // 100 were tried again, and failed
	s.owner(`DELETE FROM jobs WHERE id::text LIKE '%0000000000_2'`)                                                 // 10 are gone
	s.owner(`UPDATE jobs SET status = 'cancelled', error = NULL WHERE id::text LIKE '%000000000__3'`)               // 100 are cancelled
	s.owner(`UPDATE jobs SET status = 'succeeded', error = NULL, output = '1' WHERE id::text LIKE '%000000000__4'`) // 100 ended well
	s.laterJobs(7)
	config, err := json.Marshal([]string{s.url, s.natsURL, "bulk"})
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), asWorker+"="+string(config))
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	s.carryOut(id)
	eventually(t, "the process has come a part of the way", func() error {
		if s.bulkAction(id).Position < 1500 {
			return errors.New("not yet")
		}
		return nil
	})
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if at := s.bulkAction(id).Position; at >= n {
		t.Fatalf("it was killed too late, at %d", at)
	}
	s.bulkWorker()
	s.bulkEnds(id, store.BulkDone, n-310, map[string]int{"retried": 100, "gone": 10, "changed": 200})
	for what, want := range map[string]int{
		`SELECT count(*) FROM jobs WHERE run = 2 AND status = 'queued'`:                                                          n - 310,
		`SELECT count(*) FROM jobs WHERE run = 2 AND status = 'failed'`:                                                          100,
		`SELECT count(*) FROM jobs WHERE run > 2`:                                                                                0,
		`SELECT count(*) FROM outbox WHERE type = 'job.requested'`:                                                               n - 310,
		`SELECT count(DISTINCT subject) FROM outbox WHERE type = 'job.requested'`:                                                n - 310,
		`SELECT count(*) FROM outbox o JOIN jobs j ON j.event_id = o.event_id AND j.version = o.aggregate_version AND j.run = 2`: n - 310,
		`SELECT count(*) FROM jobs WHERE id::text LIKE '0197cccc%' AND run = 1 AND status = 'failed'`:                            7,
		`SELECT count(*) FROM jobs WHERE status = 'queued' AND NOT overflow`:                                                     10 * jobs.AI.Share,
	} {
		if got := s.count(what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
}

// laterJobs makes jobs that begin to match after it was asked.
func (s *site) laterJobs(n int) {
	s.owner(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, finished_at)
		SELECT '0197aaaa-0000-7000-8000-000000000000', ('0197cccc-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'test.play', 'ai',
			'failed', 3, '{}', '{"code": "x"}', gen_random_uuid(), now() FROM generate_series(1, $1) AS i`, n)
}

// Ten thousand jobs take seconds.
func TestBulkIsQuick(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const n = 10_000
	s.failedJobs(n)
	began := time.Now()
	id := s.bulk(store.BulkRetry, failedOnes, n)
	asked := time.Since(began)
	s.carryOut(id)
	s.bulkWorker()
	b := s.bulkEnds(id, store.BulkDone, n, nil)
	took := b.FinishedAt.Sub(*b.StartedAt)
	t.Logf("asked in %s, done in %s", asked, took)
	if took > 30*time.Second {
		t.Errorf("%d jobs took %s", n, took)
	}
}

// One job with which it goes wrong costs the others nothing.
func TestBulkGoesOnBehindAFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.failedJobs(600)
	s.owner(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one, asha@example.com'; END $$`)
	s.owner(`CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.id::text LIKE '%42') EXECUTE FUNCTION refuse()`)
	id := s.bulk(store.BulkRetry, failedOnes, 600)
	s.carryOut(id)
	s.bulkWorker()
	s.bulkEnds(id, store.BulkDone, 594, map[string]int{"internal": 6})
	eventually(t, "it says how it came on", func() error {
		said := fmt.Sprint(s.noted(`kind = 'admin.bulk'`))
		if !strings.Contains(said, "INFO jobs were seen to") || !strings.Contains(said, `"done": 594`) || !strings.Contains(said, `"failed": 6`) ||
			!strings.Contains(said, `"up_to": 600`) || strings.Contains(said, "asha@") {
			return fmt.Errorf("it said %s", said)
		}
		return nil
	})
	if got := s.count(`SELECT count(*) FROM jobs WHERE run = 2`); got != 594 {
		t.Errorf("%d jobs were retried", got)
	}
	s.tx(func(tx pgx.Tx) error {
		list, err := store.BulkFailures(t.Context(), tx, id, 50)
		if err != nil || len(list) != 6 || list[0].Detail == nil || !strings.Contains(*list[0].Detail, "not this one, [email]") {
			t.Errorf("failures %+v, %v", list, err)
		}
		return nil
	})
}

// A bulk action that is to stop goes no further, and begins nothing that had not begun.
func TestBulkStops(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.failedJobs(500)
	id := s.bulk(store.BulkRetry, failedOnes, 500)
	s.tx(func(tx pgx.Tx) error {
		_, err := store.StopBulkAction(t.Context(), tx, id)
		return err
	})
	s.carryOut(id)
	s.bulkWorker()
	s.bulkEnds(id, store.BulkStopped, 0, nil)
	if got := s.count(`SELECT count(*) FROM jobs WHERE run = 2`); got != 0 {
		t.Errorf("%d jobs were retried", got)
	}
	err := s.db.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := store.StopBulkAction(t.Context(), tx, id)
		return err
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("stopping it again: %v", err)
	}
}

// What is cancelled says so, and of what is deleted only what it did and cost stays. Each leaves alone what it can't be done with.
func TestBulkCancelsAndDeletes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.failedJobs(30)
	s.owner(`UPDATE jobs SET status = 'queued', error = NULL, finished_at = NULL, run_at = now() + interval '1 hour' WHERE id::text LIKE '%1'`)
	s.owner(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, fingerprint) SELECT organization_id, id, kind, queue, 1, 1, 'failed', '0123456789abcdef' FROM jobs`)
	s.owner(`INSERT INTO job_events (organization_id, job_id, seq, type, data) SELECT organization_id, id, 1, 'status', '{}' FROM jobs`)
	s.owner(`INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt) SELECT organization_id, id, 'k', 'done', 1 FROM jobs`)
	s.owner(`INSERT INTO mail_messages (organization_id, id, stream) SELECT organization_id, id, 'transactional' FROM jobs`)
	s.owner(`INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, started_at, created_at)
		SELECT organization_id, id, id, 1, 'ai.chat', 'groq', 'm', 'ok', now(), now() - interval '1 day' FROM jobs`)
	s.owner(`UPDATE ai_usage_until SET until = now()`)
	s.bulkWorker()
	group := store.AdminJobFilter{Fingerprint: "0123456789abcdef"}
	id := s.bulk(store.BulkCancel, group, 30)
	s.carryOut(id)
	s.bulkEnds(id, store.BulkDone, 3, map[string]int{"ended": 27})
	if got := s.count(`SELECT count(*) FROM outbox o JOIN jobs j ON j.id::text = o.subject AND j.version = o.aggregate_version WHERE type = 'job.cancelled' AND j.status = 'cancelled'`); got != 3 {
		t.Errorf("%d facts tell of a cancellation", got)
	}
	id = s.bulk(store.BulkDelete, group, 30)
	s.owner(`UPDATE jobs SET status = 'queued', error = NULL, finished_at = NULL WHERE id::text LIKE '%7'`)
	s.carryOut(id)
	s.bulkEnds(id, store.BulkDone, 27, map[string]int{"changed": 3})
	if j, a, e := s.count(`SELECT count(*) FROM jobs`), s.count(`SELECT count(*) FROM job_attempts WHERE job_id IS NOT NULL`), s.count(`SELECT count(*) FROM job_events`); j != 3 || a != 3 || e != 3 {
		t.Errorf("%d jobs, %d attempts and %d events are left", j, a, e)
	}
	for _, kept := range []string{"job_effects", "mail_messages", "ai_calls"} {
		if n := s.count(`SELECT count(*) FROM ` + kept); n != 30 {
			t.Errorf("%d of 30 %s stay on the books", n, kept)
		}
	}
}

// Jobs that no client asked for are tried again, cancelled and deleted by River's own means.
func TestBulkOfInternalJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	client, err := NewInserter(s.db.Pool(), s.bulkTable(), s.logged.log())
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for range 6 {
		row, err := client.Insert(t.Context(), choreArgs{}, &river.InsertOpts{Queue: "cache"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.Job.ID)
	}
	s.owner(`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = ANY($1)`, ids[:4])
	s.bulkWorker()
	chores := func(status string) store.AdminJobFilter {
		return store.AdminJobFilter{Status: status, Kinds: []string{"test.chore"}, Source: store.InternalJobs}
	}
	id := s.bulk(store.BulkRetry, chores(store.Failed), 4)
	s.owner(`UPDATE river_job SET state = 'running', finalized_at = NULL, attempted_at = now(), attempted_by = '{x}' WHERE id = $1`, ids[0])
	s.carryOut(id)
	s.bulkEnds(id, store.BulkDone, 3, map[string]int{"changed": 1})
	id = s.bulk(store.BulkCancel, chores(store.Queued), 5)
	s.carryOut(id)
	s.bulkEnds(id, store.BulkDone, 5, nil)
	id = s.bulk(store.BulkDelete, chores(store.Cancelled), 5)
	s.carryOut(id)
	s.bulkEnds(id, store.BulkDone, 5, nil)
	if got := s.count(`SELECT count(*) FROM river_job WHERE kind = 'test.chore'`); got != 1 {
		t.Errorf("%d are left", got)
	}
}
