package workers

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

var errOurs = errors.New("something on our side")

// Every way in which an attempt can end, through the whole chain: outbox, stream, router, River, and back.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker(func(c *Config) { c.Queues = map[string]int{"ai": 20} })

	t.Run("success", func(t *testing.T) {
		j := s.submit(func(_ context.Context, t *jobs.Task) (jobs.Result, error) {
			return jobs.Result{Output: map[string]int{"n": t.Attempt}}, nil
		})
		got := s.ends(j.ID, store.Succeeded)
		if string(got.Output) != `{"n": 1}` || s.facts(j.ID, "job.completed") != 1 || s.work(j.ID, "completed") != 1 {
			t.Errorf("output %s, %d facts, %d completed", got.Output, s.facts(j.ID, "job.completed"), s.work(j.ID, "completed"))
		}
	})
	t.Run("failure", func(t *testing.T) {
		j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
			return jobs.Result{}, &jobs.Failure{Code: "bad_weather", Title: "Bad weather", Detail: "It rains.", Output: "wet"}
		})
		got := s.ends(j.ID, store.Failed)
		if s.code(got) != "bad_weather" || got.Attempt != 1 || string(got.Output) != `"wet"` || s.facts(j.ID, "job.failed") != 1 {
			t.Errorf("%s after attempt %d, output %s, %d facts", got.Error, got.Attempt, got.Output, s.facts(j.ID, "job.failed"))
		}
	})
	t.Run("retry", func(t *testing.T) {
		waiting := make(chan store.Job, 1)
		j := s.submit(func(ctx context.Context, t *jobs.Task) (jobs.Result, error) {
			if t.Attempt == 1 {
				return jobs.Result{}, errOurs
			}
			waiting <- t.Job
			return jobs.Result{Output: t.Attempt}, nil
		})
		if second := receive(t, "the second attempt", waiting); second.WaitingReason != nil {
			t.Errorf("it still waits for %q", *second.WaitingReason)
		}
		if got := s.ends(j.ID, store.Succeeded); got.Attempt != 2 || s.facts(j.ID, "job.completed") != 1 {
			t.Errorf("succeeded in attempt %d", got.Attempt)
		}
	})
	t.Run("attempts used up", func(t *testing.T) {
		for what, p := range map[string]play{
			"error": func(context.Context, *jobs.Task) (jobs.Result, error) { return jobs.Result{}, errOurs },
			"panic": func(context.Context, *jobs.Task) (jobs.Result, error) { panic("oh") },
			// As the optimistic update of another row gives it; the job is still held.
			"conflict": func(context.Context, *jobs.Task) (jobs.Result, error) { return jobs.Result{}, store.ErrConflict },
		} {
			t.Run(what, func(t *testing.T) {
				j := s.submit(p)
				got := s.ends(j.ID, store.Failed)
				if s.code(got) != "internal" || got.Attempt != 3 || s.facts(j.ID, "job.failed") != 1 {
					t.Errorf("%s after attempt %d", got.Error, got.Attempt)
				}
				if strings.Contains(string(got.Error), "our side;") == false {
					t.Errorf("%s tells the client too much or too little", got.Error)
				}
			})
		}
	})
	t.Run("wait", func(t *testing.T) {
		n := 0
		j := s.submit(func(_ context.Context, t *jobs.Task) (jobs.Result, error) {
			if n++; n == 1 {
				return jobs.Result{}, &jobs.Wait{Reason: "the moon is down"}
			}
			return jobs.Result{Output: t.Attempt}, nil
		})
		eventually(t, "the job says why it waits", func() error {
			if w := s.job(j.ID).WaitingReason; w == nil || *w != "the moon is down" {
				return errors.New("it doesn't")
			}
			return nil
		})
		if got := s.ends(j.ID, store.Succeeded); got.Attempt != 1 {
			t.Errorf("succeeded in attempt %d, want waiting to use up none", got.Attempt)
		}
	})
	t.Run("what Postgres can't store", func(t *testing.T) {
		j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
			return jobs.Result{Output: "a\x00b"}, nil
		})
		if got := s.ends(j.ID, store.Failed); s.code(got) != "internal" || got.Attempt != 1 {
			t.Errorf("%s after attempt %d, want no second attempt", got.Error, got.Attempt)
		}
	})
	t.Run("deadline at work", func(t *testing.T) {
		soon := time.Now().Add(700 * time.Millisecond)
		j := s.submit(block, func(j *store.Job) { j.Deadline = &soon })
		if got := s.ends(j.ID, store.Failed); s.code(got) != "deadline_exceeded" || s.facts(j.ID, "job.failed") != 1 {
			t.Errorf("%s", got.Error)
		}
	})
	t.Run("deadline before work", func(t *testing.T) {
		soon, later := time.Now().Add(300*time.Millisecond), time.Now().Add(time.Hour)
		j := s.submit(block, func(j *store.Job) { j.Deadline, j.RunAt = &soon, later })
		if got := s.ends(j.ID, store.Failed); s.code(got) != "deadline_exceeded" || s.facts(j.ID, "job.failed") != 1 {
			t.Errorf("%s", got.Error)
		}
	})
	t.Run("cancel at work", func(t *testing.T) {
		began, ended := make(chan struct{}), make(chan error, 1)
		j := s.submit(func(ctx context.Context, _ *jobs.Task) (jobs.Result, error) {
			close(began)
			<-ctx.Done()
			ended <- ctx.Err()
			return jobs.Result{Output: "too late"}, nil
		})
		receive(t, "the start", began)
		at := time.Now()
		s.cancel(j.ID)
		receive(t, "the end of the context", ended)
		if took := time.Since(at); took > 5*time.Second {
			t.Errorf("the work heard of it after %s", took)
		}
		eventually(t, "River gives up too", func() error {
			if s.work(j.ID, "cancelled") != 1 {
				return errors.New("not yet")
			}
			return nil
		})
		if got := s.job(j.ID); got.Status != store.Cancelled || got.Output != nil || s.facts(j.ID, "job.completed") != 0 {
			t.Errorf("%s with output %s", got.Status, got.Output)
		}
	})
	t.Run("cancel before work", func(t *testing.T) {
		j := s.submit(block, func(j *store.Job) { j.RunAt = time.Now().Add(300 * time.Millisecond) })
		s.cancel(j.ID)
		eventually(t, "River gives up too", func() error {
			if s.work(j.ID, "cancelled") != 1 {
				return errors.New("not yet")
			}
			return nil
		})
		if got := s.job(j.ID); got.Status != store.Cancelled || got.StartedAt != nil {
			t.Errorf("%s, started %v", got.Status, got.StartedAt)
		}
	})
	t.Run("retry by hand", func(t *testing.T) {
		j := s.submit(func(_ context.Context, t *jobs.Task) (jobs.Result, error) {
			if t.Job.Run == 1 {
				return jobs.Result{}, &jobs.Wait{Reason: "for ever", After: time.Hour}
			}
			return jobs.Result{Output: t.Job.Run}, nil
		})
		eventually(t, "the job waits", func() error {
			if s.job(j.ID).WaitingReason == nil {
				return errors.New("not yet")
			}
			return nil
		})
		s.retry(j.ID)
		if got := s.ends(j.ID, store.Succeeded); string(got.Output) != "2" {
			t.Errorf("output %s, want that of the second run", got.Output)
		}
		eventually(t, "the overtaken run is given up", func() error {
			if s.work(j.ID, "cancelled") != 1 || s.work(j.ID, "") != 2 {
				return errors.New("not yet")
			}
			return nil
		})
	})
}

func block(ctx context.Context, _ *jobs.Task) (jobs.Result, error) {
	<-ctx.Done()
	return jobs.Result{}, ctx.Err()
}

func TestTimeoutOfAttempts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker(func(c *Config) {
		c.Table = s.table(func(sp *jobs.Spec) { sp.Timeout = 200 * time.Millisecond })
	})
	j := s.submit(block, func(j *store.Job) { j.MaxAttempts = 2 })
	if got := s.ends(j.ID, store.Failed); s.code(got) != "timeout" || got.Attempt != 2 {
		t.Errorf("%s after attempt %d", got.Error, got.Attempt)
	}
}

// The connection dies in the middle of the transaction that says it all, in the last attempt at that:
// none of it may be there, and the job must not be lost.
func TestFinishIsOneCommit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker()
	var tries atomic.Int32
	var id string
	j := s.submit(func(_ context.Context, task *jobs.Task) (jobs.Result, error) {
		id = task.ID
		return jobs.Result{Output: "done", Save: func(b *pgx.Batch) {
			if tries.Add(1) == 1 {
				b.Queue(`SELECT pg_terminate_backend(pg_backend_pid())`)
				return
			}
			s.holdsNothing(t, id)
		}, Effects: []store.Effect{{Key: "a", State: "done", Attempt: 1, Receipt: json.RawMessage(`{}`)}}}, nil
	}, func(j *store.Job) { j.MaxAttempts = 1 })
	got := s.ends(j.ID, store.Succeeded)
	if string(got.Output) != `"done"` || s.facts(j.ID, "job.completed") != 1 || s.work(j.ID, "completed") != 1 || tries.Load() != 2 {
		t.Errorf("output %s, %d facts after %d tries", got.Output, s.facts(j.ID, "job.completed"), tries.Load())
	}
}

func (s *site) holdsNothing(t *testing.T, id string) {
	var effects int
	s.scan(&effects, `SELECT count(*) FROM job_effects WHERE job_id = $1`, id)
	if got := s.job(id); got.Status != store.Running || got.Output != nil || effects != 0 ||
		s.facts(id, "job.completed") != 0 || s.work(id, "completed") != 0 {
		t.Errorf("%s, output %s, %d effects, %d facts: want nothing of a commit that failed",
			got.Status, got.Output, effects, s.facts(id, "job.completed"))
	}
}
