package workers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// What is the first attempt of a request is a part of its trace; all that comes later is linked to it.
func TestWhichTraceAnAttemptBelongsTo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	again := againFor(events.Envelope{TraceParent: sampledTrace})
	for _, c := range []struct {
		name   string
		from   origin
		change func(*rivertype.JobRow)
		want   string // "part", "linked", "alone", "none"
	}{
		{"first", origin{TraceParent: sampledTrace}, nil, "part"},
		{"retried, put off or rescued", origin{TraceParent: sampledTrace}, func(r *rivertype.JobRow) { r.AttemptedBy = []string{"a", "b"} }, "linked"},
		{"to run later", origin{TraceParent: sampledTrace}, func(r *rivertype.JobRow) { r.ScheduledAt = now.Add(time.Minute) }, "linked"},
		{"redriven or replayed", again, nil, "linked"},
		{"redriven of what nobody recorded", againFor(events.Envelope{TraceParent: unsampledWork}), nil, "none"},
		{"by the clock", origin{Clock: true}, nil, "alone"},
		{"of what nobody recorded", origin{}, nil, "none"},
	} {
		recorder := tracetest.NewSpanRecorder()
		config := Config{Tracer: trace.NewTracer(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), func(otel.TraceID) bool { return true })}
		inserts := []river.InsertManyParams{{InsertOpts: &river.InsertOpts{}}}
		c.from.mark(inserts)
		row := &rivertype.JobRow{Kind: "test.play", Queue: "ai", Attempt: 1, MaxAttempts: 3, CreatedAt: now, ScheduledAt: now,
			AttemptedBy: []string{"a"}, Metadata: inserts[0].InsertOpts.Metadata, EncodedArgs: []byte(`{"job_id":"j","organization_id":"o"}`)}
		if c.change != nil {
			c.change(row)
		}
		err := config.traced(t.Context(), row, func(context.Context) error { return errors.New("asha@customer.example") })
		if err == nil {
			t.Fatalf("%s: the error is lost", c.name)
		}
		got := "none"
		for _, s := range recorder.Ended() {
			switch {
			case s.Parent().IsValid() && s.SpanContext().TraceID().String() == sampledTrace[3:35]:
				got = "part"
			case !s.Parent().IsValid() && len(s.Links()) == 1 && s.Links()[0].SpanContext.TraceID().String() == sampledTrace[3:35]:
				got = "linked"
			case !s.Parent().IsValid() && len(s.Links()) == 0:
				got = "alone"
			}
			if s.Name() != "work test.play" || s.Status().Description != "internal" {
				t.Errorf("%s: %s %v", c.name, s.Name(), s.Status())
			}
			for _, a := range s.Attributes() {
				if strings.Contains(a.Value.String(), "asha") {
					t.Errorf("%s: %s shows an error's text", c.name, a.Key)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Nothing is written into River's rows of what nobody records: its index of them costs.
func TestUntracedRowsHaveNoMetadata(t *testing.T) {
	t.Parallel()
	inserts := []river.InsertManyParams{{InsertOpts: &river.InsertOpts{}}}
	origin{TraceParent: trace.Span{}.TraceParent()}.mark(inserts)
	if inserts[0].InsertOpts.Metadata != nil {
		t.Errorf("got %s", inserts[0].InsertOpts.Metadata)
	}
}
