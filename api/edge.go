package api

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"
)

// apiPolicy is for answers that no browser renders.
const apiPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// edgeHeaders go on every response, under their canonical names. The slices are shared by all
// responses; http.Header.Set and Add never write into them.
var edgeHeaders = map[string][]string{
	"X-Frame-Options":           {"DENY"},
	"X-Content-Type-Options":    {"nosniff"},
	"X-Xss-Protection":          {"0"}, // "1; mode=block" opened holes in the browsers that knew it
	"Referrer-Policy":           {"strict-origin-when-cross-origin"},
	"Permissions-Policy":        {"geolocation=(), microphone=(), camera=()"},
	"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	"Content-Security-Policy":   {apiPolicy},
	"Cache-Control":             {"no-store"},
}

// edge is the outermost handler: ids, headers, and the last word on panics.
func (s *Server) edge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, server: s, request: r, method: r.Method, path: r.URL.EscapedPath(), began: time.Now()}
		if o, ok := r.Context().Value(operatorKey{}).(Operator); ok {
			x.asked(o)
		} else {
			x.from = clientIP(r, s.TrustedProxies)
			x.id = requestID(r.Header.Get("X-Request-ID"))
			x.trace()
		}
		h := w.Header()
		for name, value := range edgeHeaders {
			h[name] = value
		}
		h["X-Request-Id"] = []string{x.id}
		defer s.finish(x, r)
		next.ServeHTTP(x, r)
	})
}

func (s *Server) finish(x *exchange, r *http.Request) {
	cut := false
	defer func() { x.endTrace(cut) }()
	if s.Watch != nil && x.inside == nil {
		defer func() { s.observe(x, time.Since(x.began), cut) }()
	}
	if v := recover(); v != nil {
		cut = v == http.ErrAbortHandler || x.status != 0
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.Log.Error("handler panicked", "request_id", x.id, "route", x.route,
			"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if x.status != 0 {
			// Half an answer is out: cut the connection, so that nobody takes it for a whole one.
			panic(http.ErrAbortHandler)
		}
		s.fail(x, x, refuse("internal", "internal error; quote the request id when you report it"))
	}
	if !s.Log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	s.Log.Debug("request", "request_id", x.id, "method", r.Method, "route", x.route, "status", x.status,
		"code", x.code, "organization_id", x.caller.OrganizationID, "ms", time.Since(x.began).Milliseconds())
}

const maxRequestID = 128

// requestID takes what the client calls its request if that is sane, else it makes one.
func requestID(given string) string {
	if given == "" || len(given) > maxRequestID {
		return madeRequestID()
	}
	for i := range len(given) {
		if !isIDByte(given[i]) {
			return madeRequestID()
		}
	}
	return given
}

// isIDByte allows what survives logs, headers and shells unquoted.
func isIDByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == ':' || c == '/' || c == '+' || c == '='
}

// madeRequestID is unique, not secret. It begins with the time in milliseconds, so that the indexes that hold such ids
// grow at their end.
func madeRequestID() string {
	b := [28]byte{'r', 'e', 'q', '_'}
	hexDigits(b[4:15], uint64(time.Now().UnixMilli()))
	hexDigits(b[15:], rand.Uint64())
	return string(b[:])
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hexDigits fills b with the low digits of v.
func hexDigits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = "0123456789abcdef"[v&15]
		v >>= 4
	}
}
