package workers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// callsBack makes a job one whose client wants to be called back.
func callsBack(j *store.Job) {
	url := "https://example.com/done?token=t"
	j.CallbackURL = &url
}

// told wants the last fact of a job's end to say whether its client wants to be called back.
func (s *site) told(j store.Job) {
	s.t.Helper()
	var callback bool
	s.scan(&callback, `SELECT coalesce((data ->> 'callback')::boolean, false) FROM outbox
		WHERE subject = $1 AND type IN ('job.completed', 'job.failed', 'job.cancelled')
		ORDER BY aggregate_version DESC LIMIT 1`, j.ID)
	if callback != j.CallsBack() {
		s.t.Errorf("the fact that the job %s says callback %t, want %t", j.Status, callback, j.CallsBack())
	}
	var version int64
	s.scan(&version, `SELECT max(aggregate_version) FROM outbox WHERE subject = $1`, j.ID)
	if version != j.Version {
		s.t.Errorf("the fact that the job %s is of version %d, the job has %d", j.Status, version, j.Version)
	}
}

// However a job comes to its end, the fact says that its client wants to be called back, and is of the version that
// the job then has.
func TestEveryEndOfAJobSaysWhoIsCalledBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker(func(c *Config) { c.Beat = 100 * time.Millisecond })
	fails := func(context.Context, *jobs.Task) (jobs.Result, error) {
		return jobs.Result{}, &jobs.Failure{Code: "no", Title: "No", Detail: "No."}
	}
	soon, later := time.Now().Add(300*time.Millisecond), func(j *store.Job) { j.RunAt = time.Now().Add(time.Hour) }
	ends := map[string]struct {
		status string
		job    store.Job
	}{
		"result":       {store.Succeeded, s.submit(nil, callsBack)},
		"not asked":    {store.Succeeded, s.submit(nil)},
		"failure":      {store.Failed, s.submit(fails, callsBack)},
		"last attempt": {store.Failed, s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) { panic("oh") }, callsBack)},
		"progress": {store.Succeeded, s.submit(func(ctx context.Context, t *jobs.Task) (jobs.Result, error) {
			return jobs.Result{}, t.Follow.Progress(ctx, 1, 2)
		}, callsBack)},
		"can't be stored": {store.Failed, s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
			return jobs.Result{Output: "a\x00b"}, nil
		}, callsBack)},
		"deadline before work": {store.Failed, s.submit(block, callsBack, later, func(j *store.Job) { j.Deadline = &soon })},
		"deadline at work":     {store.Failed, s.submit(block, callsBack, func(j *store.Job) { j.Deadline = &soon })},
	}
	for what, end := range ends {
		t.Run(what, func(t *testing.T) { s.ends(end.job.ID, end.status) })
	}
	t.Run("ended in River", func(t *testing.T) {
		cancelled, discarded := s.submit(nil, later, callsBack), s.submit(nil, later, callsBack)
		for _, j := range []store.Job{cancelled, discarded} {
			eventually(t, "River has the job", func() error {
				if s.work(j.ID, "scheduled") != 1 {
					return errors.New("not yet")
				}
				return nil
			})
		}
		s.tx(func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE river_job SET finalized_at = now() - interval '1 minute',
				state = CASE args ->> 'job_id' WHEN $1 THEN 'cancelled' ELSE 'discarded' END::river_job_state
				WHERE args ->> 'job_id' IN ($1, $2)`, cancelled.ID, discarded.ID)
			return err
		})
		s.ends(cancelled.ID, store.Cancelled)
		s.ends(discarded.ID, store.Failed)
	})
	t.Run("retry by hand", func(t *testing.T) {
		j := ends["failure"].job
		s.retry(j.ID)
		if again := s.ends(j.ID, store.Failed); again.Run != 2 || s.facts(j.ID, "job.failed") != 2 {
			t.Errorf("run %d, %d facts", again.Run, s.facts(j.ID, "job.failed"))
		}
	})
}
