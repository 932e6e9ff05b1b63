package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
)

// Chore is work that the clock asks for. It is idempotent: a tick may run twice.
type Chore[A river.JobArgs] interface {
	Run(ctx context.Context, args A) error
}

// Scheduled makes the row of a kind that a schedule starts, and facts may start as well.
func Scheduled[A river.JobArgs](c Chore[A], spec Spec, starts ...start[A]) Job {
	var zero A
	return Job{
		Kind:   zero.Kind(),
		Spec:   spec,
		routes: func(e events.Envelope, f events.Fact) []river.InsertManyParams { return started(spec, starts, e, f) },
		due: func() river.InsertManyParams {
			return river.InsertManyParams{Args: zero, InsertOpts: &river.InsertOpts{
				Queue: spec.Queue.Name, MaxAttempts: spec.MaxAttempts,
			}}
		},
		register: func(workers *river.Workers) {
			river.AddWorker(workers, &choreWorker[A]{chore: c, spec: spec})
		},
	}
}

type choreWorker[A river.JobArgs] struct {
	river.WorkerDefaults[A]
	chore Chore[A]
	spec  Spec
}

// Timeout implements river.Worker.
func (w *choreWorker[A]) Timeout(*river.Job[A]) time.Duration { return w.spec.Timeout }

// NextRetry implements river.Worker.
func (w *choreWorker[A]) NextRetry(j *river.Job[A]) time.Time {
	return time.Now().Add(w.spec.Backoff.jittered(j.ID, j.Attempt))
}

// Work implements river.Worker.
func (w *choreWorker[A]) Work(ctx context.Context, j *river.Job[A]) error {
	return w.chore.Run(ctx, j.Args)
}
