package workers

import (
	"context"
	"encoding/json"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/jobs"
)

// origin is what the metadata of River's row says of where a job comes from: as little as can be, as River indexes all
// of it.
type origin struct {
	// EventID is the event that started work that nobody asked for; what was asked for has a row that says so.
	EventID string `json:"event_id,omitempty"`
	// What follows is of the trace that a job belongs to, where that is recorded.

	// TraceParent is the step of which the first attempt is a part.
	TraceParent string `json:"traceparent,omitempty"`
	// TraceLink is the step that every attempt is only linked to: work that is asked for again.
	TraceLink string `json:"tracelink,omitempty"`
	// Clock says that a schedule began it, which has no trace.
	Clock bool `json:"traceclock,omitempty"`
}

// mark writes the origin into the rows of jobs that are yet to be inserted.
func (o origin) mark(inserts []river.InsertManyParams) {
	if len(inserts) == 0 || o == (origin{}) {
		return
	}
	metadata, err := json.Marshal(o)
	if err != nil {
		return // three strings can be encoded
	}
	for _, i := range inserts {
		i.InsertOpts.Metadata = metadata
	}
}

// againFor is the origin of work that an event asks for once more, long after it was stated.
func againFor(e events.Envelope) origin {
	o := startedBy(e, "")
	if trace.Recorded(e.TraceParent) {
		o.TraceLink = e.TraceParent
	}
	return o
}

// startedBy is the origin of what an event starts, as a part of a step in its trace; "": that isn't recorded.
func startedBy(e events.Envelope, step string) origin {
	o := origin{TraceParent: step}
	if e.Type != (events.JobRequested{}).EventType() {
		o.EventID = e.ID
	}
	return o
}

// routes begins the step in which an event becomes jobs.
func (r *router) routes(ctx context.Context, e events.Envelope) trace.Span {
	_, step := r.tracer.Continue(ctx, e.TraceParent, trace.Consumer, "route", e.Type)
	step.String("messaging.system", "nats")
	step.String("messaging.operation.type", "process")
	step.String("messaging.message.id", e.ID)
	step.String("payaid.organization_id", e.OrganizationID)
	return step
}

// within is a context in the step of one of the events of a batch, which stands for the others.
func (r routing) within(ctx context.Context) context.Context {
	for _, step := range r.steps {
		if step.Traced() {
			return step.In(ctx)
		}
	}
	return ctx
}

// end ends the steps of all events of the batch.
func (r routing) end(err error) {
	for _, step := range r.steps {
		if err != nil {
			step.Fail("not_routed")
		}
		step.End()
	}
}

// traced gives every attempt a step. The first is a part of what asked for the job; what comes later, a retry, a job
// that was put off or one that is asked for again, is a trace of its own that is linked to it: it would stretch that
// by hours.
func (c Config) traced(ctx context.Context, row *rivertype.JobRow, work func(context.Context) error) (err error) {
	ctx, step := c.begin(ctx, row)
	if !step.Traced() {
		return work(ctx)
	}
	describe(step, row)
	err = errPanicked
	defer func() {
		outcome := jobs.OutcomeOf(ctx, row, err)
		step.String("payaid.job.outcome", string(outcome))
		switch outcome {
		case jobs.Failed, jobs.Retried, jobs.Lost:
			step.Fail(jobs.ClassOf(err))
		}
		step.End()
	}()
	err = work(ctx)
	return err
}

func (c Config) begin(ctx context.Context, row *rivertype.JobRow) (context.Context, trace.Span) {
	var o origin
	err := json.Unmarshal(row.Metadata, &o)
	o.EventID = ""
	if err != nil || o == (origin{}) {
		return ctx, trace.Span{}
	}
	const verb = "work"
	first := len(row.AttemptedBy) <= 1 && row.ScheduledAt.Sub(row.CreatedAt) < deferred
	switch {
	case o.TraceParent != "" && first:
		return c.Tracer.Continue(ctx, o.TraceParent, trace.Consumer, verb, row.Kind)
	case o.TraceParent != "":
		return c.Tracer.Begin(ctx, o.TraceParent, trace.Consumer, verb, row.Kind)
	}
	return c.Tracer.Begin(ctx, o.TraceLink, trace.Consumer, verb, row.Kind)
}

// deferred tells a job that is to run later from one that is to run now.
const deferred = time.Second

func describe(step trace.Span, row *rivertype.JobRow) {
	var args jobs.Request
	if json.Unmarshal(row.EncodedArgs, &args) == nil {
		step.String("payaid.job.id", args.JobID)
		step.String("payaid.organization_id", args.OrganizationID)
	}
	step.String("messaging.system", "river")
	step.String("messaging.operation.type", "process")
	step.String("messaging.destination.name", row.Queue)
	step.String("payaid.job.kind", row.Kind)
	step.Int("payaid.job.river_id", int(row.ID))
	step.Int("payaid.job.attempt", row.Attempt)
	step.Int("payaid.job.execution", max(1, len(row.AttemptedBy)))
}
