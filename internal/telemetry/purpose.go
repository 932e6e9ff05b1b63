package telemetry

import (
	"context"
	"log/slog"
)

// A Purpose says what something is done for: a request, or a job. What is not known is empty. It doesn't
// change once it is in a context.
type Purpose struct {
	Route     string // of a request: "GET /api/contacts"
	Kind      string // of a job
	JobID     string
	RequestID string // of the request, or the one that asked for the job
	TraceID   string
}

type purposeKey struct{}

// For gives a context in which what is done is done for p.
func For(ctx context.Context, p *Purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

// PurposeOf gives what a context is for, nil where nobody said.
func PurposeOf(ctx context.Context) *Purpose {
	p, _ := ctx.Value(purposeKey{}).(*Purpose)
	return p
}

// Attrs are the attributes that a log line about it has; none for nil.
func (p *Purpose) Attrs() []slog.Attr {
	if p == nil {
		return nil
	}
	var list []slog.Attr
	for _, a := range []slog.Attr{
		slog.String("route", p.Route), slog.String("kind", p.Kind), slog.String("job_id", p.JobID),
		slog.String("request_id", p.RequestID), slog.String("trace_id", p.TraceID),
	} {
		if a.Value.String() != "" {
			list = append(list, a)
		}
	}
	return list
}

// TraceID is the trace of a W3C traceparent, "" where there is none.
func TraceID(traceParent string) string {
	const begin, end = 3, 35
	if len(traceParent) < end {
		return ""
	}
	return traceParent[begin:end]
}
