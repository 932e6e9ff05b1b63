package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/internal/store"
)

// An Error is a refusal that a client may read.
type Error struct {
	Code   string // one of the table in codes.go
	Detail string
	Faults []Fault
	Header map[string]string // further headers of the answer
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Detail }

func refuse(code, detail string) *Error { return &Error{Code: code, Detail: detail} }

func invalid(faults ...Fault) *Error {
	return &Error{Code: "validation_failed", Detail: "the request has values that it can't have", Faults: faults}
}

func (e *Error) with(header, value string) *Error {
	if e.Header == nil {
		e.Header = make(map[string]string, 1)
	}
	e.Header[header] = value
	return e
}

// problem is an Error on the wire (RFC 9457).
type problem struct {
	Type      string        `json:"type" doc:"Where the code is explained"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Instance  string        `json:"instance" doc:"Path of the request"`
	Code      string        `json:"code" doc:"Stable name of the problem"`
	RequestID string        `json:"request_id"`
	Errors    []Fault       `json:"errors,omitempty"`
	Checks    []checkReport `json:"checks,omitempty" doc:"Of the system's health, with the admin scope"`
	Pool      *poolView     `json:"pool,omitempty" doc:"Of the system's health, with the admin scope"`

	header map[string]string
}

// Error, GetStatus, GetHeaders and ContentType are what huma asks of an error.
func (p *problem) Error() string  { return p.Code }
func (p *problem) GetStatus() int { return p.Status }
func (p *problem) GetHeaders() http.Header {
	h := make(http.Header, len(p.header))
	for name, value := range p.header {
		h.Set(name, value)
	}
	return h
}
func (p *problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// problem turns whatever went wrong into what the client reads, and logs what it must not.
func (s *Server) problem(x *exchange, err error) *problem {
	var made *problem
	if errors.As(err, &made) {
		return made
	}
	var e *Error
	if !errors.As(err, &e) {
		e = s.unexpected(x, err)
	}
	c := codes[e.Code]
	x.code = e.Code
	return &problem{
		Type:      "/docs#" + e.Code,
		Title:     c.title,
		Status:    c.status,
		Detail:    e.Detail,
		Instance:  x.path,
		Code:      e.Code,
		RequestID: x.id,
		Errors:    e.Faults,
		header:    e.Header,
	}
}

func (s *Server) unexpected(x *exchange, err error) *Error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return notFound()
	case errors.Is(err, context.Canceled):
		return refuse("unavailable", "the client has gone")
	case errors.Is(err, store.ErrSlow):
		s.tellSparsely("question of an operator was given up", err, "request_id", x.id, "route", x.route)
		return refuse("too_slow", "the question was given up after "+lookTime.String()+"; narrow it by time, kind, queue or organization")
	case unavailable(err):
		s.tellSparsely("request refused for want of the database", err, "request_id", x.id, "route", x.route)
		return refuse("unavailable", "the service can't do this right now; try again").with("Retry-After", "2")
	case isDataException(err):
		s.Log.Warn("value refused by the database", "request_id", x.id, "route", x.route, "err", err)
		return refuse("validation_failed", "a value of the request can't be stored")
	}
	s.Log.Error("request failed", "request_id", x.id, "route", x.route, "err", err)
	return refuse("internal", "internal error; quote the request id when you report it")
}

// tellSparsely logs what an outage makes happen many times a second, and not all of it.
func (s *Server) tellSparsely(what string, err error, attrs ...any) {
	leftOut, due := s.sparse.Tell(what)
	if !due {
		return
	}
	attrs = append(attrs, "err", err)
	if leftOut > 0 {
		attrs = append(attrs, "left_out", leftOut)
	}
	s.Log.Warn(what, attrs...)
}

func notFound() *Error { return refuse("not_found", "there is nothing here") }

// unavailable reports whether trying again later may help. It does where the operator has yet to migrate the
// database, or to mend the login.
func unavailable(err error) bool {
	var unusable *store.UnusableError
	if errors.Is(err, store.ErrNoConnection) || errors.As(err, &unusable) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58", "40": // connection, resources, operator, system, serialization
			return true
		}
		return pg.Code == "25006" || pg.Code == "55P03" || pg.Code == "25P03" // read-only, lock timeout, idle
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.Is(err, store.ErrBusy) || errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, context.DeadlineExceeded)
}

func isDataException(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22")
}

// fail writes a problem as the whole answer.
func (s *Server) fail(w http.ResponseWriter, x *exchange, err error) {
	p := s.problem(x, err)
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	// A client that has gone away can't be told.
	_ = json.NewEncoder(w).Encode(p)
}
