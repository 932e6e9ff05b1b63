package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// An exchange is one request on its way: who asks, under which id, and what has been answered.
type exchange struct {
	http.ResponseWriter
	server *Server

	request     *http.Request // as it came
	inside      *Operator     // who asks by a page of ours, in the same process; nil: it came from outside
	from        netip.Addr    // of the client
	id          string        // request id
	began       time.Time     // when it came
	traceParent string        // of what comes of the request
	step        trace.Span
	purpose     telemetry.Purpose
	method      string
	path        string // escaped, as it was asked for
	route       string // pattern of the route, "" until one was found
	code        string // of the problem that was answered
	caller      caller
	body        []byte

	idempotencyKey string // as it came
	repeatable     bool   // there was such a header, on a route that heeds it

	probe   bool // machines ask the route all the time
	lasting bool // the client chooses how long it takes
	noted   bool // the audit log was told of it

	status  int
	swallow bool // the body that the mux writes, as a problem stands in its place
}

type exchangeKey struct{}

// exchangeOf gives the exchange that a handler's context belongs to.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// WriteHeader replaces the mux's own plain-text refusals by problems.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	if x.route == "" && status >= 400 {
		x.swallow = true
		x.refuseRoute(status)
		return
	}
	x.status = status
	x.lastOfConnection()
	x.ResponseWriter.WriteHeader(status)
}

// lastOfConnection has a client leave its connection with this answer when the process is about to end: one that is
// closed under a proxy's next request is an error to its client, as nobody knows what became of that.
func (x *exchange) lastOfConnection() {
	if x.server.leaving.Load() {
		x.Header().Set("Connection", "close")
	}
}

func (x *exchange) refuseRoute(status int) {
	err := notFound()
	limited, tooMany := x.server.limit(x).(*Error)
	switch {
	case tooMany:
		err = limited
	case status == http.StatusNotFound:
		err.Detail = "there is no such path"
	case status == http.StatusMethodNotAllowed:
		err = refuse("method_not_allowed", "the path takes "+x.Header().Get("Allow"))
	default:
		err = refuse("bad_request", "the request line can't be read")
	}
	x.route = "-"
	x.server.fail(plainWriter{x}, x, err)
}

// plainWriter writes the problem while the exchange swallows what the mux writes.
type plainWriter struct{ x *exchange }

func (p plainWriter) Header() http.Header { return p.x.Header() }
func (p plainWriter) WriteHeader(status int) {
	p.x.status = status
	p.x.lastOfConnection()
	p.x.ResponseWriter.WriteHeader(status)
}
func (p plainWriter) Write(b []byte) (int, error) { return p.x.ResponseWriter.Write(b) }

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	if x.swallow {
		return len(b), nil
	}
	if x.status == 0 {
		x.status = http.StatusOK
		x.lastOfConnection()
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
