package trace

import (
	"context"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otel "go.opentelemetry.io/otel/trace"
)

const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// recording is a tracer that records, and what it recorded. admit is what it says of strangers' traces.
func recording(admit bool) (*Tracer, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(r), sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())))
	return NewTracer(provider, func(otel.TraceID) bool { return admit }), r
}

func TestServe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, given string
		admit       bool
		recorded    bool
		trace       string // "": a new one
	}{
		{"in its trace", theirs, true, true, theirs[3:35]},
		{"asks for too much", theirs, false, false, theirs[3:35]},
		{"asks for none", theirs[:53] + "00", true, false, theirs[3:35]},
		{"none", "", false, true, ""}, // the sampler alone decides
		{"upper case", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", true, true, ""},
		{"no trace", "00-00000000000000000000000000000000-b7ad6b7169203331-01", true, true, ""},
		{"no step", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", true, true, ""},
		{"flags", theirs[:53] + "zz", true, true, ""},
		{"long", theirs + "-more", true, true, ""},
		{"version", "ff" + theirs[2:], true, true, ""},
	} {
		tracer, recorder := recording(c.admit)
		s := tracer.Serve(t.Context(), c.given, "GET")
		if s.Traced() != c.recorded {
			t.Errorf("%s: recorded: %v", c.name, s.Traced())
		}
		here := s.TraceParent()
		if parse(here).IsSampled() != c.recorded || c.trace != "" && here[3:35] != c.trace || c.trace == "" && here[3:35] == theirs[3:35] {
			t.Errorf("%s: the request is in %s", c.name, here)
		}
		s.End()
		if n := len(recorder.Ended()); (n == 1) != c.recorded {
			t.Errorf("%s: %d spans", c.name, n)
		}
	}
}

func TestStepsBelongToTheirContext(t *testing.T) {
	t.Parallel()
	tracer, recorder := recording(true)
	ctx, outer := tracer.Continue(t.Context(), theirs, Consumer, "work", "a")
	inner, step := Start(ctx, Client, "chat", "model")
	step.String("key", "value")
	step.String("none", "")
	step.Fail("timeout")
	if got := TraceParent(inner, "x"); got != step.TraceParent() || got[3:35] != theirs[3:35] {
		t.Errorf("within the step: %s", got)
	}
	step.End()
	outer.End()
	if _, late := Start(ctx, Client, "after", ""); late.Traced() {
		t.Error("a step of what has ended is traced")
	}
	if got := TraceParent(ctx, "given"); got != "given" {
		t.Errorf("after the end: %s", got)
	}
	spans := recorder.Ended()
	if len(spans) != 2 || spans[0].Name() != "chat model" || spans[0].Parent().SpanID() != spans[1].SpanContext().SpanID() ||
		len(spans[0].Attributes()) != 2 || spans[0].Status().Description != "timeout" {
		t.Fatalf("recorded: %v", spans)
	}
}

func TestBeginLinks(t *testing.T) {
	t.Parallel()
	tracer, recorder := recording(true)
	ctx, _ := tracer.Continue(t.Context(), theirs, Consumer, "work", "")
	_, again := tracer.Begin(ctx, theirs, Consumer, "work", "again")
	again.End()
	if _, none := tracer.Begin(t.Context(), theirs[:53]+"00", Consumer, "work", ""); none.Traced() {
		t.Error("what follows from an unrecorded step is recorded")
	}
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Parent().IsValid() || len(spans[0].Links()) != 1 ||
		format(spans[0].Links()[0].SpanContext) != theirs || spans[0].SpanContext().TraceID().String() == theirs[3:35] {
		t.Fatalf("recorded: %v", spans)
	}
}

// A sender for others is in the step of the first whom it serves, not in the one that happened to start it.
func TestInHidesWhatIsNotMeant(t *testing.T) {
	t.Parallel()
	tracer, _ := recording(true)
	ctx, step := tracer.Continue(t.Context(), theirs, Consumer, "work", "")
	if Of(Span{}.In(ctx)).Traced() {
		t.Error("a step that nobody traces shows that of its context")
	}
	other, _ := tracer.Begin(t.Context(), "", Consumer, "work", "")
	if got := Of(step.In(other)).TraceParent(); got != step.TraceParent() {
		t.Errorf("got %s", got)
	}
}

// Off, nothing is allocated, whatever is said about the step.
func TestOffAllocatesNothing(t *testing.T) {
	var none *Tracer
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, theirs)
	allocs := testing.AllocsPerRun(1000, func() {
		s := none.Serve(ctx, theirs, "GET")
		in := s.In(ctx)
		in, step := Start(in, Client, "chat", "model")
		step.Name("chat", "other")
		step.String("key", "value")
		step.Int("number", 42)
		step.Fail("class")
		_ = TraceParent(in, theirs)
		_ = step.TraceParent()
		step.End()
		_, a := none.Continue(in, theirs, Consumer, "work", "kind")
		_, b := none.Begin(in, theirs, Consumer, "work", "kind")
		a.End()
		b.End()
		s.End()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
