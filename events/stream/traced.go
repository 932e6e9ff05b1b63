package stream

import (
	"context"
	"slices"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// late is how old an event may be and still be published as a part of what stated it. What waited longer, while NATS
// was away, or is published again into a stream that was lost, has a trace of its own that is linked to that.
const late = time.Minute

// Traced is the stream with a step in the event's trace for each event that is published; the message carries it on.
func (s *Stream) Traced(t *trace.Tracer) outbox.Log {
	if t == nil {
		return s
	}
	return traced{s, t}
}

type traced struct {
	*Stream
	tracer *trace.Tracer
}

// Publish implements outbox.Log.
func (s traced) Publish(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	entries = slices.Clone(entries)
	steps := make([]trace.Span, len(entries))
	for i := range entries {
		steps[i] = s.begin(ctx, &entries[i].Event)
	}
	last, err := s.Stream.Publish(ctx, after, entries)
	for i, step := range steps {
		if err != nil {
			step.Fail("not_published")
		} else {
			step.Int("payaid.stream_seq", int(after)+i+1)
		}
		step.End()
	}
	return last, err
}

func (s traced) begin(ctx context.Context, e *events.Envelope) (step trace.Span) {
	if time.Since(e.Time) < late {
		_, step = s.tracer.Continue(ctx, e.TraceParent, trace.Producer, "publish", e.Type)
	} else if e.TraceParent != "" {
		_, step = s.tracer.Begin(ctx, e.TraceParent, trace.Producer, "publish", e.Type)
	}
	if !step.Traced() {
		return step
	}
	step.String("messaging.system", "nats")
	step.String("messaging.operation.type", "send")
	step.String("messaging.destination.name", events.Subject(e.Type))
	step.String("messaging.message.id", e.ID)
	step.String("payaid.organization_id", e.OrganizationID)
	e.TraceParent = step.TraceParent()
	return step
}
