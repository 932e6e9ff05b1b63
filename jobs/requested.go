package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
)

// Request is what River's row holds of a job that a client asked for: where its own row is, and nothing
// of its content, as River's rows are open to every operator. River keeps a GIN index of all of it and
// writes each row three times, so it is as little as can be.
type Request struct {
	JobID          string `json:"job_id,omitempty"` // "": started by a fact, see Reaction
	OrganizationID string `json:"organization_id"`
	Run            int    `json:"run,omitempty"`
}

func (r Request) request() Request { return r }

// requestArgs are the arguments of a requested kind: a type of its own around Request, as River knows
// kinds by type.
type requestArgs interface {
	river.JobArgs
	request() Request
}

// Work is one kind of requested work. Run is called for every attempt; its context ends with the job's
// deadline, with the kind's timeout, when the client cancels, and when the process stops.
type Work[A requestArgs] interface {
	Run(ctx context.Context, args A, t *Task) (Result, error)
}

// Requested makes the row of a kind that clients submit.
func Requested[A requestArgs](d Deps, w Work[A], spec Spec) Job {
	var zero A
	kind := zero.Kind()
	return Job{
		Kind: kind,
		Spec: spec,
		routes: func(e events.Envelope, f events.Fact) []river.InsertManyParams {
			requested, ok := f.(events.JobRequested)
			if !ok || requested.Kind != kind {
				return nil
			}
			return []river.InsertManyParams{insertRequested(e, requested)}
		},
		register: func(workers *river.Workers) {
			river.AddWorker(workers, newRequestedWorker(d, w, spec))
		},
	}
}

// overflowPriority is River's last priority: behind everything that has its fair place.
const overflowPriority = 4

// soon is the future that counts as now: River's leader promotes scheduled rows every few seconds only.
const soon = time.Second

func insertRequested(e events.Envelope, f events.JobRequested) river.InsertManyParams {
	opts := &river.InsertOpts{Queue: f.Queue, Priority: f.Priority, MaxAttempts: f.MaxAttempts}
	if f.Overflow {
		opts.Priority = overflowPriority
	}
	// By the clock of those who stated the fact: this machine's may be ahead.
	if f.RunAt.Sub(e.Time) > soon {
		opts.ScheduledAt = f.RunAt
	}
	return river.InsertManyParams{
		Args:       routedArgs{kind: f.Kind, Request: Request{JobID: f.JobID, OrganizationID: e.OrganizationID, Run: f.Run}},
		InsertOpts: opts,
	}
}

// routedArgs are a Request under a kind that is known at run time only.
type routedArgs struct {
	kind string
	Request
}

// Kind implements river.JobArgs.
func (a routedArgs) Kind() string { return a.kind }

type requestedWorker[A requestArgs] struct {
	river.WorkerDefaults[A]
	deps   Deps
	work   Work[A]
	spec   Spec
	starts gather[*starting]
	ends   gather[finishing]
}

func newRequestedWorker[A requestArgs](d Deps, work Work[A], spec Spec) *requestedWorker[A] {
	w := &requestedWorker[A]{deps: d, work: work, spec: spec}
	w.starts.send = func(ctx context.Context, list []*starting) []error { return startTogether(ctx, d, list) }
	w.ends.send = func(ctx context.Context, list []finishing) []error { return finishTogether(ctx, d, list) }
	return w
}

// Timeout implements river.Worker.
func (w *requestedWorker[A]) Timeout(*river.Job[A]) time.Duration { return w.spec.Timeout }

// NextRetry implements river.Worker.
func (w *requestedWorker[A]) NextRetry(j *river.Job[A]) time.Time {
	return time.Now().Add(w.spec.Backoff.jittered(j.ID, j.Attempt))
}

// Work implements river.Worker.
func (w *requestedWorker[A]) Work(ctx context.Context, j *river.Job[A]) error {
	return attempt{
		deps:    w.deps,
		spec:    w.spec,
		row:     j.JobRow,
		request: j.Args.request(),
		work:    func(ctx context.Context, t *Task) (Result, error) { return w.work.Run(ctx, j.Args, t) },
		start:   w.starts.do,
		finish:  w.ends.do,
	}.run(ctx)
}
