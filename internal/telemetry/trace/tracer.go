package trace

import (
	"context"

	otel "go.opentelemetry.io/otel/trace"
)

// A Tracer begins traces, and continues those of others. nil traces nothing.
type Tracer struct {
	tracer otel.Tracer
	admits func(otel.TraceID) bool
}

// NewTracer makes a tracer of what records spans. admits says whether a trace is among those of which we want to know.
func NewTracer(p otel.TracerProvider, admits func(otel.TraceID) bool) *Tracer {
	return &Tracer{tracer: p.Tracer(scope), admits: admits}
}

// Serve begins the step that answers a stranger's request, in the stranger's trace if it names one. Of that it is
// believed that it is not to be recorded; that it is to be is ours to say, lest clients choose how much is.
// The span is valid even where it is not recorded, so that logs can name the trace.
func (t *Tracer) Serve(ctx context.Context, traceParent, verb string) Span {
	if t == nil {
		return Span{}
	}
	from := parse(traceParent)
	if from.IsSampled() && !t.admits(from.TraceID()) {
		from = from.WithTraceFlags(0)
	}
	_, s := t.tracer.Start(otel.ContextWithRemoteSpanContext(ctx, from), verb, otel.WithSpanKind(Server))
	return Span{s}
}

// Continue begins a step in a trace of our own that came by a row or a message. Where that isn't traced the step
// isn't either.
func (t *Tracer) Continue(ctx context.Context, traceParent string, kind Kind, verb, object string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	from := parse(traceParent)
	if !from.IsSampled() {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(otel.ContextWithRemoteSpanContext(ctx, from), named(verb, object), otel.WithSpanKind(kind))
	return ctx, Span{s}
}

// Begin begins a trace, with a link to the step that led to it, "" for none: for what happens so much later that it
// would stretch that step's trace, and perhaps more than once. What follows from a trace that isn't recorded isn't
// either.
func (t *Tracer) Begin(ctx context.Context, linked string, kind Kind, verb, object string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	options := []otel.SpanStartOption{otel.WithSpanKind(kind), otel.WithNewRoot()}
	if linked != "" {
		from := parse(linked)
		if !from.IsSampled() {
			return ctx, Span{}
		}
		options = append(options, otel.WithLinks(otel.Link{SpanContext: from}))
	}
	ctx, s := t.tracer.Start(ctx, named(verb, object), options...)
	return ctx, Span{s}
}
