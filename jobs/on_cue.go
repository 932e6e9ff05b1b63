package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// A Cue is River's row of a kind that the admin may ask for, and that the clock or a fact starts as well. However it
// was started, it is a job of the operator's organization that is shown, followed and cancelled like any other.
type Cue struct {
	Request
	Cause *cause `json:"cause,omitempty"` // nil: the admin asked for it
}

func (c Cue) cue() Cue { return c }

// cueArgs are the arguments of a kind on cue: a type of its own around Cue.
type cueArgs interface {
	requestArgs
	cue() Cue
}

// tick is the type of the cause that the clock is. There is no such event.
const tick = "schedule.tick"

// cueOf has a fact start a kind; what the job is asked to do is for the kind's input to say.
func cueOf(e events.Envelope) Cue {
	c := causeOf(e)
	return Cue{Request{OrganizationID: store.OperatorOrganization}, &c}
}

// onCue is work of such a kind. input gives what a job that the clock or a fact started is to do; false: nothing, as it
// was done meanwhile.
type onCue[A cueArgs] struct {
	Work[A]
	deps  Deps
	spec  Spec
	input func(context.Context, A) (input any, wanted bool, err error)
}

// OnCue makes the row of a kind that the admin may ask for, and that the clock (where the spec names a time) and facts
// start. newArgs makes its arguments of a Cue.
func OnCue[A cueArgs](d Deps, w Work[A], spec Spec, newArgs func(Cue) A, input func(context.Context, cause) (any, bool, error), starts ...start[A]) Job {
	return onCueOf(d, w, spec, newArgs, func(ctx context.Context, args A) (any, bool, error) { return input(ctx, *args.cue().Cause) }, starts...)
}

// onCueOf is OnCue where the input depends on more than the cause.
func onCueOf[A cueArgs](d Deps, w Work[A], spec Spec, newArgs func(Cue) A, input func(context.Context, A) (any, bool, error), starts ...start[A]) Job {
	j := Reacting(d, onCue[A]{w, d, spec, input}, spec, starts...)
	j.due = func() river.InsertManyParams {
		// The id stands in River's row, so that a tick makes one job however often it is tried to hand it over.
		c := Cue{Request{OrganizationID: store.OperatorOrganization}, &cause{EventID: outbox.NewID(), Type: tick}}
		return river.InsertManyParams{Args: newArgs(c), InsertOpts: &river.InsertOpts{Queue: spec.Queue.Name, MaxAttempts: cueAttempts}}
	}
	return j
}

// cueAttempts are those of handing a job over, which only a database that is away keeps from working.
const cueAttempts = 25

// React implements Reaction: it hands the job over.
func (w onCue[A]) React(ctx context.Context, args A) error {
	c := args.cue().Cause
	if c == nil {
		return errors.New("a job on cue was started by nothing")
	}
	input, wanted, err := w.input(ctx, args)
	if err != nil || !wanted {
		return err
	}
	id, err := c.jobFor(args.Kind())
	if err != nil {
		return err
	}
	o := order{organizationID: store.OperatorOrganization, id: id, kind: args.Kind(), spec: w.spec, input: input,
		priority: normalPriority, cause: *c, metadata: map[string]any{"started_by": c.Type}}
	if c.Type == tick {
		o.cause = cause{}
	}
	var made bool
	err = w.deps.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
		made, err = handOver(ctx, tx, o, &places{})
		return err
	})
	if err == nil && made {
		w.deps.Hints.OutboxChanged()
	}
	return err
}
