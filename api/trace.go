package api

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// trace begins the request's step in its trace: the client's, where it names one, or a new one. There is a trace to
// name in logs and rows even where none is recorded.
func (x *exchange) trace() {
	given := x.request.Header.Get("Traceparent")
	x.step = x.server.Tracer.Serve(x.request.Context(), given, methodName(x.method))
	if x.traceParent = x.step.TraceParent(); x.traceParent == "" {
		x.traceParent = traceParent(given)
	}
}

// endTrace says what became of the request, by the names of OpenTelemetry's semantic conventions for HTTP. Paths,
// queries and addresses of clients are nobody's to collect. cut says that the answer broke off.
func (x *exchange) endTrace(cut bool) {
	if !x.step.Traced() {
		return
	}
	method := methodName(x.method)
	x.step.String("http.request.method", method)
	if x.route != "" && x.route != "-" {
		x.step.Name(method, x.route)
		x.step.String("http.route", x.route)
	}
	x.step.Int("http.response.status_code", x.status)
	x.step.String("payaid.request_id", x.id)
	x.step.String("payaid.organization_id", x.caller.OrganizationID)
	x.step.String("payaid.problem", x.code)
	switch {
	case cut:
		x.step.Fail("cut")
	case x.status >= http.StatusInternalServerError:
		x.step.Fail(x.code)
	}
	x.step.End()
}

// methodName keeps to what is known: anybody may invent methods.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

// appends begins the step in which facts go to the outbox; they carry it on.
func (x *exchange) appends(ctx context.Context, fact string) (context.Context, trace.Span) {
	ctx, step := trace.Start(ctx, trace.Producer, "append", fact)
	x.traceParent = trace.TraceParent(ctx, x.traceParent)
	return ctx, step
}

// traceParent takes a valid W3C trace context (version 00), else it names a trace that nobody records.
func traceParent(given string) string {
	if validTraceParent(given) {
		return given
	}
	b := [55]byte{0: '0', 1: '0', 2: '-', 35: '-', 52: '-', 53: '0', 54: '0'}
	// The time first, as in our request ids; who samples by trace ids looks at their ends.
	hexDigits(b[3:14], uint64(time.Now().UnixMilli()))
	hexDigits(b[14:19], rand.Uint64())
	hexDigits(b[19:35], rand.Uint64())
	hexDigits(b[36:52], rand.Uint64()|1)
	return string(b[:])
}

func validTraceParent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	return isHex(s[3:35]) && isHex(s[36:52]) && isHex(s[53:]) &&
		s[3:35] != "00000000000000000000000000000000" && s[36:52] != "0000000000000000"
}
