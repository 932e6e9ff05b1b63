package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A noted is what is written down of an attempt, as far as tests look at it.
type noted struct {
	Outcome, Code, Error    string
	Run, Attempt            int
	Fingerprint, Internal   bool
	Lines                   []string
	RiverID, Worker, Timely bool
}

const selectNoted = `
SELECT outcome, coalesce(code, ''), coalesce(error, ''), run, attempt, fingerprint IS NOT NULL, job_id IS NULL,
       ARRAY(SELECT line ->> 'level' || ' ' || (line ->> 'message') || ' ' || (line ->> 'attrs') FROM jsonb_array_elements(log) AS line),
       river_job_id IS NOT NULL, worker IS NOT NULL, started_at IS NOT NULL AND started_at <= ended_at
FROM job_attempts WHERE %s ORDER BY id`

func (s *site) noted(where string, args ...any) []noted {
	s.t.Helper()
	rows, err := s.db.Pool().Query(s.t.Context(), fmt.Sprintf(selectNoted, where), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[noted])
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// worked are the marks of an attempt that a worker made and that failed somehow.
func worked(n noted) noted {
	n.RiverID, n.Worker, n.Timely = true, true, true
	return n
}

func (s *site) wantNoted(what, id string, want ...noted) {
	s.t.Helper()
	got := s.noted(`job_id = $1`, id)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// How attempts ended stands with the job, and one that went well and had nothing to say leaves nothing.
func TestAttemptsAreNoted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker()

	s.wantNoted("a plain success", s.ends(s.submit(nil).ID, store.Succeeded).ID)

	said := s.ends(s.submit(func(_ context.Context, task *jobs.Task) (jobs.Result, error) {
		task.Log.With("model", "mistral:7b").Info("model answered", "bytes", 12, "for", "asha@example.com", "took", time.Second)
		return jobs.Result{}, nil
	}).ID, store.Succeeded)
	s.wantNoted("a success with something to say", said.ID, worked(noted{Outcome: "succeeded", Run: 1, Attempt: 1,
		Lines: []string{`INFO model answered {"for": "[email]", "took": "1s", "bytes": 12, "model": "mistral:7b"}`}}))
	if !strings.Contains(s.logged.String(), `msg="model answered" job_id=`+said.ID) {
		t.Error("the log was not told")
	}

	failed := s.ends(s.submit(func(_ context.Context, task *jobs.Task) (jobs.Result, error) {
		if task.Attempt == 1 {
			return jobs.Result{}, errOurs
		}
		return jobs.Result{}, &jobs.Failure{Code: "bad_weather", Detail: "It rains on asha@example.com."}
	}).ID, store.Failed)
	s.wantNoted("a failure after a retry", failed.ID,
		worked(noted{Outcome: "retried", Code: "internal", Error: errOurs.Error(), Run: 1, Attempt: 1, Fingerprint: true}),
		worked(noted{Outcome: "failed", Code: "bad_weather", Error: "It rains on [email].", Run: 1, Attempt: 2, Fingerprint: true}))

	s.retry(failed.ID)
	s.ends(failed.ID, store.Failed)
	if got := s.noted(`job_id = $1`, failed.ID); len(got) != 4 || got[3].Run != 2 || got[3].Attempt != 2 {
		t.Errorf("after a retry by hand: %+v", got)
	}

	hostile := s.ends(s.submit(func(_ context.Context, task *jobs.Task) (jobs.Result, error) {
		task.Log.Info("\x00\xff", "\x00", "\x00")
		if task.Attempt == 1 {
			return jobs.Result{}, errors.New("\x00\xff" + strings.Repeat("ü", 9000))
		}
		return jobs.Result{}, &jobs.Failure{Code: "x\x00", Detail: "\x00\xff"}
	}).ID, store.Failed)
	if got := s.noted(`job_id = $1`, hostile.ID); len(got) != 2 || len(got[0].Lines) != 1 || len(got[0].Error) > 8<<10 || !strings.HasPrefix(got[0].Error, "\uFFFD\uFFFDü") {
		t.Errorf("a text that Postgres doesn't take: %.80v", got)
	}

	late := s.submit(nil, func(j *store.Job) {
		past := time.Now().Add(-time.Second)
		j.Deadline, j.RunAt = &past, time.Now().Add(time.Hour)
	})
	s.ends(late.ID, store.Failed)
	if got := s.noted(`job_id = $1`, late.ID); len(got) != 1 || got[0].Code != "deadline_exceeded" || got[0].RiverID || got[0].Attempt != 0 {
		t.Errorf("a job that was never worked: %+v", got)
	}
}

// A job that waits for hours, asking again and again, says once what for, and again only when that changes.
func TestAWaitIsNotedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker()
	var n atomic.Int32
	j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		switch i := n.Add(1); {
		case i <= 4:
			return jobs.Result{}, &jobs.Wait{Reason: fmt.Sprintf("The model is away; tried %d times in %ds.", i, 3*i)}
		case i == 5:
			return jobs.Result{}, &jobs.Wait{Reason: "The mail server is away."}
		case i == 6:
			return jobs.Result{}, &jobs.Wait{Reason: "The model is away; tried 6 times in 18s."}
		}
		return jobs.Result{}, nil
	})
	s.ends(j.ID, store.Succeeded)
	wait := func(reason string) noted {
		return worked(noted{Outcome: "waiting", Error: reason, Run: 1, Attempt: 1})
	}
	s.wantNoted("waits", j.ID, wait("The model is away; tried 1 times in 3s."), wait("The mail server is away."),
		wait("The model is away; tried 6 times in 18s."))
}

// What stops, dies, is given up or overtaken is noted as that.
func TestAttemptsThatDoNotEndAreNoted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stop := s.worker(func(c *Config) { c.SoftStop = 50 * time.Millisecond })
	began := make(chan struct{}, 9)
	blocked := func(ctx context.Context, task *jobs.Task) (jobs.Result, error) {
		if task.Lease > 1 {
			return jobs.Result{}, nil
		}
		began <- struct{}{}
		return block(ctx, task)
	}
	given := s.submit(blocked)
	receive(t, "the first start", began)
	s.cancel(given.ID)
	eventually(t, "the attempt that was cancelled is noted", func() error {
		if got := s.noted(`job_id = $1`, given.ID); len(got) != 1 || got[0].Outcome != "cancelled" || got[0].Fingerprint {
			return fmt.Errorf("got %+v", got)
		}
		return nil
	})
	returned := s.submit(blocked)
	receive(t, "the second start", began)
	stop()
	s.wantNoted("a stop of the process", returned.ID, worked(noted{Outcome: "returned", Run: 1, Attempt: 1}))
}

// The death of a process is noted for each attempt that it had, and the last one is the job's failure.
func TestLostAttemptsAreNoted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stop := s.worker(silent)
	began, gone := make(chan struct{}, 9), make(chan struct{})
	j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		began <- struct{}{}
		<-gone
		return jobs.Result{}, nil
	}, func(j *store.Job) { j.MaxAttempts = 1 })
	receive(t, "the start", began)
	s.worker(func(c *Config) { c.Queues = map[string]int{"mail": 1} })
	s.ends(j.ID, store.Failed)
	close(gone)
	stop()
	got := s.noted(`job_id = $1 AND outcome = 'lost'`, j.ID)
	want := worked(noted{Outcome: "lost", Code: "worker_lost", Error: "The process that worked on the job died or lost it.",
		Run: 1, Attempt: 1, Fingerprint: true})
	if diff := cmp.Diff([]noted{want}, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Work that no client asked for is noted as well, a panic too, and a wait that has a reason.
func TestInternalAttemptsAreNoted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var n atomic.Int32
	s.chore = func(ctx context.Context) error {
		switch n.Add(1) {
		case 1:
			jobs.LogOf(ctx, slog.New(slog.DiscardHandler)).Info("step", "of", 2)
			return errors.New("disk full at 91%")
		case 2:
			panic("oh no")
		}
		return nil
	}
	s.worker(func(c *Config) { c.Queues = map[string]int{"maintenance": 1} })
	client, err := NewInserter(s.db.Pool(), s.table(), s.logged.log())
	if err != nil {
		t.Fatal(err)
	}
	row, err := client.Insert(t.Context(), choreArgs{}, &river.InsertOpts{Queue: "maintenance"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the chore is done", func() error {
		if got := s.noted(`river_job_id = $1`, row.Job.ID); len(got) < 2 || n.Load() < 3 {
			return fmt.Errorf("got %+v", got)
		}
		return nil
	})
	got := s.noted(`river_job_id = $1`, row.Job.ID)
	want := []noted{
		worked(noted{Outcome: "retried", Code: "internal", Error: "disk full at 91%", Run: 1, Attempt: 1, Fingerprint: true, Internal: true,
			Lines: []string{`INFO step {"of": 2}`}}),
		worked(noted{Outcome: "retried", Code: "internal", Error: got[1].Error, Run: 1, Attempt: 2, Fingerprint: true, Internal: true}),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(got[1].Error, "panic: oh no\ngoroutine ") || !strings.Contains(got[1].Error, "TestInternalAttemptsAreNoted") {
		t.Errorf("the panic has no stack: %.300s", got[1].Error)
	}
	var owner string
	s.scan(&owner, `SELECT organization_id::text FROM job_attempts WHERE river_job_id = $1 LIMIT 1`, row.Job.ID)
	if owner != store.OperatorOrganization {
		t.Errorf("it belongs to %s", owner)
	}
}

// A plain success asks the database for as much as if nobody kept anything.
func TestASuccessNotesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	statements := &asked{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: s.url, Role: store.System, Name: "counted", MaxConns: 4, Tracer: statements})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s.db = db
	s.worker()
	s.ends(s.submit(nil).ID, store.Succeeded)
	s.ends(s.submit(nil).ID, store.Succeeded)
	if got := statements.about("INSERT INTO job_attempts"); len(got) > 0 {
		t.Errorf("asked %q", got)
	}
	if len(statements.about("status = 'succeeded'")) == 0 {
		t.Error("the test doesn't see what ends a job")
	}
	s.ends(s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		return jobs.Result{}, &jobs.Failure{Code: "x"}
	}).ID, store.Failed)
	if len(statements.about("INSERT INTO job_attempts")) != 1 {
		t.Error("the test doesn't see what notes an attempt")
	}
	talks := s.submit(func(ctx context.Context, _ *jobs.Task) (jobs.Result, error) {
		jobs.NotesOf(ctx).Info("step", "of", 2)
		return jobs.Result{}, nil
	})
	s.ends(talks.ID, store.Succeeded)
	s.wantNoted("a success that says something", talks.ID, worked(noted{Outcome: "succeeded", Run: 1, Attempt: 1, Lines: []string{`INFO step {"of": 2}`}}))
	if got := statements.alone("INSERT INTO job_attempts"); len(statements.about("INSERT INTO job_attempts")) != 2 || len(got) > 0 {
		t.Errorf("what it says costs a round trip of its own: %q", got)
	}
	if strings.Contains(s.logged.String(), "msg=step") {
		t.Error("what is for the operator's eyes alone is in the log")
	}
}

// asked remembers the statements that were asked.
type asked struct {
	mu      sync.Mutex
	list    []string
	singles []string // that were a round trip each
}

// TraceQueryStart implements pgx.QueryTracer.
func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	a.add(d.SQL)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.singles = append(a.singles, d.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (a *asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (a *asked) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (a *asked) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	a.add(d.SQL)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (a *asked) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (a *asked) add(sql string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, sql)
}

func (a *asked) alone(what string) (found []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, sql := range a.singles {
		if strings.Contains(sql, what) {
			found = append(found, sql)
		}
	}
	return found
}

func (a *asked) about(what string) (found []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, sql := range a.list {
		if strings.Contains(sql, what) {
			found = append(found, sql)
		}
	}
	return found
}
