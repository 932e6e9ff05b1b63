// Package trace marks the steps of a trace: what a request led to, across processes, from its arrival to the call
// of a model or the transaction with a mail server. It follows OpenTelemetry, and knows nothing of where spans go.
//
// Who begins or continues a trace has a [Tracer]; all others only say what they do, by [Start], and are traced where
// their context is. Where it isn't, nothing of this package allocates. Nothing personal belongs into a span: no
// prompts, addresses, names, texts of errors, arguments of queries.
package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation, as OpenTelemetry wants it.
const scope = "github.com/payaid/payaid"

// Kind is what a span is to those beside it, as OpenTelemetry has it.
type Kind = otel.SpanKind

// The kinds: who answers a request, who asks another, who hands a message on and who takes one up.
const (
	Server   = otel.SpanKindServer
	Client   = otel.SpanKindClient
	Producer = otel.SpanKindProducer
	Consumer = otel.SpanKindConsumer
)

// A Span is one step. The zero value is that of a step that nobody traces, and does nothing.
type Span struct{ of otel.Span }

// Start begins a step of what ctx is for, if that is traced. Its name is a verb and its object; the object may be "".
func Start(ctx context.Context, kind Kind, verb, object string) (context.Context, Span) {
	parent := otel.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(scope).Start(ctx, named(verb, object), otel.WithSpanKind(kind))
	return ctx, Span{s}
}

func named(verb, object string) string {
	if object == "" {
		return verb
	}
	return verb + " " + object
}

// Of is the step that ctx is in.
func Of(ctx context.Context) Span {
	if s := otel.SpanFromContext(ctx); s.SpanContext().IsValid() {
		return Span{s}
	}
	return Span{}
}

// In gives a context in which what is done is part of the step. One that nobody traces hides that of ctx.
func (s Span) In(ctx context.Context) context.Context {
	if s.of == nil && !Of(ctx).Traced() {
		return ctx
	}
	return otel.ContextWithSpan(ctx, s.of)
}

// Traced reports whether anybody will see the step.
func (s Span) Traced() bool { return s.of != nil && s.of.IsRecording() }

// Name gives the step a better name than it began with.
func (s Span) Name(verb, object string) {
	if s.Traced() {
		s.of.SetName(named(verb, object))
	}
}

// String says something about the step; an empty value says nothing.
func (s Span) String(key, value string) {
	if value != "" && s.Traced() {
		s.of.SetAttributes(attribute.String(key, value))
	}
}

// Int says something about the step.
func (s Span) Int(key string, value int) {
	if s.Traced() {
		s.of.SetAttributes(attribute.Int(key, value))
	}
}

// Fail says that the step went wrong, by a class of failures: never by an error's text, which may quote what it
// is about.
func (s Span) Fail(class string) {
	if s.Traced() {
		s.of.SetAttributes(attribute.String("error.type", class))
		s.of.SetStatus(codes.Error, class)
	}
}

// End ends the step.
func (s Span) End() {
	if s.of != nil {
		s.of.End()
	}
}

// TraceParent is the step as a W3C traceparent, "" where there is none.
func (s Span) TraceParent() string {
	if s.of == nil {
		return ""
	}
	return format(s.of.SpanContext())
}

// TraceParent is the step that ctx is in, or else what was given: for what is handed on by rows and messages.
func TraceParent(ctx context.Context, given string) string {
	if s := otel.SpanFromContext(ctx); s.IsRecording() {
		return format(s.SpanContext())
	}
	return given
}
