package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/telemetry"
)

const (
	maxBody = 1 << 20
	// A body of 1 MiB in this time is slower than any link that can still be called one.
	bodyTimeout = 20 * time.Second
	// Above the longest wait that Prefer may ask for, and the wait for a database connection.
	requestTimeout = 65 * time.Second
)

// guard lets through to a route's handler only who may, with a body that can be read.
func (s *Server) guard(rt route, next http.HandlerFunc) http.HandlerFunc {
	name := rt.method + " " + rt.path
	return func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange)
		x.route, x.probe, x.lasting = rt.path, rt.free, rt.streams
		x.purpose = telemetry.Purpose{Route: name, RequestID: x.id, TraceID: telemetry.TraceID(x.traceParent)}
		ctx := r.Context()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			// A write is carried through when its client hangs up: else every impatient client would cost
			// a database connection, and the outcome would be known to nobody.
			ctx = context.WithoutCancel(ctx)
		}
		if page := exchangeOf(ctx); page != nil && rt.streams {
			page.lasting = true
		}
		if !rt.streams && !rt.pages {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTimeout)
			defer cancel()
		}
		r = r.WithContext(context.WithValue(telemetry.For(x.step.In(ctx), &x.purpose), exchangeKey{}, x))
		if err := s.admit(x, rt, r); err != nil {
			s.fail(x, x, err)
			s.noteRefusal(r.Context(), rt, x)
			return
		}
		next(x, r)
		s.noteRefusal(r.Context(), rt, x)
	}
}

func (s *Server) admit(x *exchange, rt route, r *http.Request) error {
	err := s.authenticate(x, rt, r)
	if x.inside == nil && !rt.pages && !rt.free || isUnauthorized(err) {
		// Who tries keys out is told so no more often than anybody else may ask, wherever he tries.
		if limited := s.limit(x); limited != nil {
			return limited
		}
	}
	if err != nil {
		return err
	}
	if rt.pages {
		return nil
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if given := r.Header[idempotencyHeader]; rt.creates && len(given) > 0 {
		x.idempotencyKey, x.repeatable = given[0], true
	}
	if rt.body == noBody {
		return nil
	}
	if err := checkMediaType(r.Header.Get("Content-Type"), rt.body); err != nil {
		return err
	}
	body, err := readBody(x, r)
	if err != nil {
		return err
	}
	x.body = body
	if rt.body == parsedBody {
		// The handler's own parser looks at all of it.
		return nil
	}
	if rt.body == bodyOrNone && len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
		x.body = body
	}
	if err := checkBody(body); err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// several is what a query may name more than once.
const several = "include"

// checkQuery refuses what would be left out in silence, so that a list came without the filter that was asked
// for: what can't be read, and all but the first value of a parameter. And it refuses what no column takes.
func checkQuery(raw string) error {
	if !strings.ContainsAny(raw, "%;&") {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return refuse("bad_request", "the query can't be read; write % as %25, & as %26 and ; as %3B in its values")
	}
	var faults []Fault
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		for _, v := range append(values, name) {
			if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
				return refuse("bad_request", "the query is not UTF-8 text")
			}
		}
		if len(values) > 1 && name != several {
			faults = append(faults, Fault{"/query/" + escapePointer(name), "is given more than once"})
		}
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	return nil
}

func checkMediaType(header string, body bodyUse) error {
	if header == "" || header == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(header)
	known := media == "application/json" || body == patchBody && media == "application/merge-patch+json"
	if err != nil || !known {
		return refuse("unsupported_media_type", "send the body as application/json")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return refuse("unsupported_media_type", "send the body in UTF-8")
	}
	return nil
}

func readBody(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	control := http.NewResponseController(x.ResponseWriter)
	// Not every writer has a connection below it; a recorder in a test has none.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	// The server notices a hang-up by reading on; with the deadline left in place it would see one where
	// there is none.
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			return nil, refuse("request_timeout", "the body took longer than "+bodyTimeout.String())
		}
		return nil, refuse("bad_request", "the body ended early")
	}
	if buf.Len() > maxBody {
		return nil, tooLarge()
	}
	return buf.Bytes(), nil
}

func tooLarge() error { return refuse("body_too_large", "the body is above 1 MiB") }

// checkBody is what every parser relies on: one JSON value, in UTF-8, that the database can hold.
func checkBody(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return refuse("invalid_json", "the request needs a JSON body")
	}
	if !json.Valid(body) {
		return invalidJSON(body)
	}
	if !utf8.Valid(body) {
		return refuse("invalid_json", "the body is not UTF-8")
	}
	if fault := unstorable(body); fault != nil {
		return invalid(*fault)
	}
	return nil
}

func invalidJSON(body []byte) error {
	var v any
	err := json.Unmarshal(body, &v)
	if err == nil {
		return refuse("invalid_json", "the body is not JSON")
	}
	return refuse("invalid_json", "the body is not JSON: "+err.Error())
}
