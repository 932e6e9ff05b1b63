package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
)

// Reaction is work that facts start by themselves, and that a client may ask for as well. River knows
// kinds by their names alone, so both are one kind: what a client asked for has a job id, a row of its own
// and a Task; what a fact started has neither, and nobody waits for it.
type Reaction[A requestArgs] interface {
	Work[A]
	// React does the work for a fact. It is idempotent: it may run twice. A *Wait puts it off.
	React(ctx context.Context, args A) error
}

// A start turns a fact into the arguments of the work that it starts, or false.
type start[A river.JobArgs] func(events.Envelope, events.Fact) (A, bool)

// on is a start by facts of one type, or by all of which the function picks its own: a start of the wrong
// kind doesn't compile.
func on[F events.Fact, A river.JobArgs](arguments func(events.Envelope, F) (A, bool)) start[A] {
	return func(e events.Envelope, f events.Fact) (args A, ok bool) {
		if f, is := f.(F); is {
			return arguments(e, f)
		}
		return args, false
	}
}

// Reacting makes the row of a kind that facts start.
func Reacting[A requestArgs](d Deps, w Reaction[A], spec Spec, starts ...start[A]) Job {
	j := Requested(d, w, spec)
	requested := j.routes
	j.routes = func(e events.Envelope, f events.Fact) []river.InsertManyParams {
		return append(requested(e, f), started(spec, starts, e, f)...)
	}
	j.register = func(workers *river.Workers) {
		river.AddWorker(workers, &reactingWorker[A]{newRequestedWorker(d, w, spec), w})
	}
	return j
}

// started are the inserts of what a fact starts.
func started[A river.JobArgs](spec Spec, starts []start[A], e events.Envelope, f events.Fact) (inserts []river.InsertManyParams) {
	for _, start := range starts {
		if args, ok := start(e, f); ok {
			inserts = append(inserts, river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{
				Queue: spec.Queue.Name, MaxAttempts: spec.MaxAttempts,
			}})
		}
	}
	return inserts
}

type reactingWorker[A requestArgs] struct {
	*requestedWorker[A]
	reaction Reaction[A]
}

// Work implements river.Worker.
func (w *reactingWorker[A]) Work(ctx context.Context, j *river.Job[A]) error {
	if j.Args.request().JobID != "" {
		return w.requestedWorker.Work(ctx, j)
	}
	err := w.reaction.React(ctx, j.Args)
	var wait *Wait
	if errors.As(err, &wait) {
		waits(ctx, wait.Reason)
		return river.JobSnooze(max(wait.pause(), ageing(time.Since(j.CreatedAt))))
	}
	return err
}

// ageing is a pause that grows as what waits gets older, so that each is twice the one before: from a
// second to a minute, and a tenth to both sides so that not all come at once.
func ageing(age time.Duration) time.Duration {
	d := min(max(age, time.Second), time.Minute)
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}
