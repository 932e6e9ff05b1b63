package workers

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A JobObservation is one attempt of a job, as it ended. Kind and queue are of the table of jobs.
type JobObservation struct {
	Kind, Queue string
	Outcome     jobs.Outcome
	// Wait is from when the attempt was due until it began, by the clocks of two machines, Took from there until its
	// end. Nobody knows them of an attempt that was lost.
	Wait, Took time.Duration
	TraceID    string // of the request that asked for the job, where its trace is sampled; else ""
}

// errPanicked is how an attempt ended that didn't return.
var errPanicked = errors.New("the work panicked")

// middleware is what goes around every attempt.
func (c Config) middleware() []rivertype.Middleware {
	var list []rivertype.Middleware
	if c.Tracer != nil {
		list = append(list, river.WorkerMiddlewareFunc(c.traced))
	}
	list = append(list, river.WorkerMiddlewareFunc(sayWhatFor))
	if c.Watch != nil {
		list = append(list, river.WorkerMiddlewareFunc(c.watched))
	}
	return append(list, river.WorkerMiddlewareFunc(c.noted))
}

// watched tells of an attempt, also of one that panics.
func (c Config) watched(ctx context.Context, row *rivertype.JobRow, work func(context.Context) error) (err error) {
	begun := time.Now()
	noting, note := jobs.Noting(ctx)
	ended := false
	defer func() {
		o := JobObservation{Kind: row.Kind, Queue: row.Queue, Outcome: jobs.OutcomeOf(ctx, row, err),
			Wait: max(0, begun.Sub(row.ScheduledAt)), Took: time.Since(begun), TraceID: note.SampledTrace()}
		if !ended {
			o.Outcome = jobs.OutcomeOf(ctx, row, errPanicked)
		}
		c.Watch(o)
	}()
	err = work(noting)
	ended = true
	return err
}

// lostJobs tells of attempts whose processes are gone; nil where nobody wants to know.
func lostJobs(c Config) func([]store.Orphan) {
	if c.Watch == nil {
		return nil
	}
	queues := make(map[string]string, len(c.Table))
	for _, j := range c.Table {
		queues[j.Kind] = j.Spec.Queue.Name
	}
	return func(orphans []store.Orphan) {
		for _, o := range orphans {
			if queue, known := queues[o.Kind]; known {
				c.Watch(JobObservation{Kind: o.Kind, Queue: queue, Outcome: jobs.Lost})
			}
		}
	}
}
