package trace

import (
	"encoding/hex"

	otel "go.opentelemetry.io/otel/trace"
)

// format writes a traceparent of version 00 (W3C Trace Context, section 3.2).
func format(c otel.SpanContext) string {
	b := [55]byte{0: '0', 1: '0', 2: '-', 35: '-', 52: '-'}
	id, step := c.TraceID(), c.SpanID()
	hex.Encode(b[3:35], id[:])
	hex.Encode(b[36:52], step[:])
	hex.Encode(b[53:], []byte{byte(c.TraceFlags())})
	return string(b[:])
}

// parse reads one; what it can't read is invalid.
func parse(s string) otel.SpanContext {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return otel.SpanContext{}
	}
	id, err := otel.TraceIDFromHex(s[3:35])
	if err != nil {
		return otel.SpanContext{}
	}
	step, err := otel.SpanIDFromHex(s[36:52])
	if err != nil {
		return otel.SpanContext{}
	}
	var flags [1]byte
	if _, err := hex.Decode(flags[:], []byte(s[53:])); err != nil {
		return otel.SpanContext{}
	}
	return otel.NewSpanContext(otel.SpanContextConfig{TraceID: id, SpanID: step,
		TraceFlags: otel.TraceFlags(flags[0]) & otel.FlagsSampled, Remote: true})
}

// Recorded reports whether whoever wrote a traceparent recorded the step.
func Recorded(traceParent string) bool { return parse(traceParent).IsSampled() }
