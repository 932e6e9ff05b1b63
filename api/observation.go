package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/telemetry"
)

// An Observation is what can be said of a request once it has been answered, in words of which there are few: it
// may be the label of a metric.
type Observation struct {
	Method string // of HTTP's own; OTHER for what a client made up
	Route  string // the pattern of the path, such as /api/contacts/{id}; "-" where there is none
	// Status is what was answered; statusGone where the client went away before there was an answer, and 500 where
	// an answer broke off.
	Status  int
	Took    time.Duration // from the head of the request to the end of the handler
	TraceID string        // 32 hexadecimal digits
	// Probe says that machines ask it all the time, to know whether the process is well.
	Probe bool
	// Lasting says that the client chose how long it took: it followed a job, or waited for its end.
	Lasting bool
}

// Gone reports whether the client went away before there was an answer.
func (o Observation) Gone() bool { return o.Status == statusGone }

// statusGone is what proxies note for a client that did not wait for the answer.
const statusGone = 499

// observe tells who watches. cut says that the answer broke off.
func (s *Server) observe(x *exchange, took time.Duration, cut bool) {
	o := Observation{Method: methodLabel(x.method), Route: x.route, Status: x.status, Took: took,
		TraceID: telemetry.TraceID(x.traceParent), Probe: x.probe, Lasting: x.lasting}
	if o.Route == "" {
		o.Route = "-"
	}
	switch {
	case cut:
		o.Status = http.StatusInternalServerError
	case x.code == "unavailable" && errors.Is(x.request.Context().Err(), context.Canceled):
		o.Status = statusGone
	case o.Status == 0:
		o.Status = http.StatusOK // net/http answers so for a handler that wrote nothing
	}
	s.Watch(o)
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "OTHER"
}
