package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// An Operator is somebody who has signed in to see the whole installation, or to act on it.
type Operator struct {
	KeyID          string
	KeyName        string
	OrganizationID string // of the key
	Role           string // store.RoleAdmin or store.RoleReadOnly
	SessionID      string
	Address        netip.Addr
	RequestID      string // of the request to the pages; "": one is made
}

// MayAct reports whether the operator may change things.
func (o Operator) MayAct() bool { return o.Role == store.RoleAdmin }

type operatorKey struct{}

// As makes requests of the context, served by Handler, those of an operator who has signed in. It is for the pages,
// which are in the same process: from outside nobody gets a value into a context.
func As(ctx context.Context, o Operator) context.Context {
	return context.WithValue(ctx, operatorKey{}, o)
}

func (o Operator) caller() caller {
	c := caller{OrganizationID: o.OrganizationID, KeyID: o.KeyID, session: o.SessionID, scopes: adminRead}
	if o.MayAct() {
		c.scopes = everything
	}
	return c
}

// asked makes the exchange a part of the request for a page, which is traced and counted.
func (x *exchange) asked(o Operator) {
	x.inside, x.from, x.id = &o, o.Address, requestID(o.RequestID)
	if page := exchangeOf(x.request.Context()); page != nil {
		x.id, x.traceParent = page.id, page.traceParent
	}
}

// Pages puts the pages of the admin at /admin and below. It is called once, before the first request. The handler
// sets a Content-Security-Policy of its own.
func (s *Server) Pages(h http.Handler) {
	rt := route{path: "/admin", pages: true}
	s.mux.ServeMux.HandleFunc("/admin", s.guard(rt, h.ServeHTTP))
	s.mux.ServeMux.HandleFunc("/admin/", s.guard(rt, h.ServeHTTP))
}

const (
	// A page of the admin is to be there in a tenth of that; what takes longer asks for too much at once.
	lookTime = 1500 * time.Millisecond
	actTime  = 10 * time.Second
)

// What a client calls a thing may be of any length and of any bytes; an act on it is noted all the same, and an entry
// of the index over the log takes less than 2704 bytes.
const (
	mostNotedID     = 300
	mostNotedDetail = 2000
)

// lookAtAll asks the database something that concerns all organizations.
func (s *Server) lookAtAll(ctx context.Context, ask func(pgx.Tx) error) error {
	return s.DB.AsOperator(ctx, lookTime, ask)
}

// inTime bounds a question that sets no time limit of its own: without it a page waited as long as a request may last.
func inTime[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	answer, err := ask(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		err = fmt.Errorf("%w: %w", store.ErrSlow, err)
	}
	return answer, err
}

// An act is what an operator does, for the audit log. Before and After hold ids, states and numbers, and never what
// is hidden until it is asked for.
type act struct {
	Action         string // job.retry
	Target, ID     string // "job" and its id
	OrganizationID string // whose it is, "" for nobody's
	Before, After  any
}

// act carries out what an operator does, in a transaction that sees all organizations, and notes it there. What is
// refused or fails is noted too. do completes the note.
func (s *Server) act(ctx context.Context, a act, do func(tx pgx.Tx, note *act) error) error {
	err := s.DB.AsOperator(ctx, actTime, func(tx pgx.Tx) error {
		if err := do(tx, &a); err != nil {
			return err
		}
		return s.note(ctx, tx, a, store.AuditDone, "")
	})
	if err != nil {
		s.noteVain(ctx, a, err)
	}
	return err
}

// actByParts carries out what commits by parts, and may take as long as the request may last: that it begins is noted
// before, and how it ended even when nobody waits for that any more. do says how much is done, which stays so whatever
// became of the rest, and what is to be noted of it.
func (s *Server) actByParts(ctx context.Context, a act, do func() (done int, after map[string]any, err error)) error {
	begins := a
	begins.Action += "_begin"
	if err := s.act(ctx, begins, func(pgx.Tx, *act) error { return nil }); err != nil {
		return err
	}
	done, after, cause := do()
	if done == 0 && cause != nil {
		s.noteVain(ctx, a, cause)
		return cause
	}
	if cause != nil {
		after["broken_off"] = s.unexplained(cause)
	}
	a.After = after
	ctx, cancel := unhurried(ctx)
	defer cancel()
	err := s.act(ctx, a, func(pgx.Tx, *act) error { return nil })
	return cmp.Or(cause, err)
}

// unhurried detaches a note of the audit log from the request, whose end must not keep it from being written.
func unhurried(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), actTime)
}

// noteVain notes what was not done, in a transaction of its own. The answer is the refusal, noted or not.
func (s *Server) noteVain(ctx context.Context, a act, cause error) {
	outcome := store.AuditFailed
	var refused *Error
	if errors.As(cause, &refused) || errors.Is(cause, store.ErrNotFound) || errors.Is(cause, store.ErrConflict) || isDataException(cause) {
		outcome = store.AuditRefused
	}
	detail := s.unexplained(cause)
	a.After = nil
	ctx, cancel := unhurried(ctx)
	defer cancel()
	err := s.DB.AsOperator(ctx, actTime, func(tx pgx.Tx) error { return s.note(ctx, tx, a, outcome, detail) })
	if err != nil {
		s.Log.Error("an act is not in the audit log", "action", a.Action, "target", a.Target, "target_id", a.ID,
			"outcome", outcome, "request_id", exchangeOf(ctx).id, "error", err)
	}
}

// unexplained is what the audit log says of a failure: what the client was told, as errors of Postgres quote values.
func (s *Server) unexplained(cause error) string {
	var refused *Error
	switch {
	case errors.As(cause, &refused):
		return refused.Error()
	case errors.Is(cause, store.ErrNotFound):
		return "not_found"
	case errors.Is(cause, store.ErrConflict):
		return "conflict"
	case errors.Is(cause, store.ErrSlow):
		return "too_slow"
	case isDataException(cause):
		return "validation_failed"
	}
	return "internal; the log has it under the request id"
}

func (s *Server) note(ctx context.Context, tx pgx.Tx, a act, outcome, detail string) error {
	x := exchangeOf(ctx)
	x.noted = true
	before, err := noted(a.Before)
	if err != nil {
		return err
	}
	after, err := noted(a.After)
	if err != nil {
		return err
	}
	role := store.RoleReadOnly
	if x.caller.scopes&admin != 0 {
		role = store.RoleAdmin
	}
	var name string
	if x.inside != nil {
		name = x.inside.KeyName
	}
	e := store.AuditEntry{KeyID: x.caller.KeyID, KeyName: name, Role: role, SessionID: orNull(x.caller.session), RequestID: &x.id,
		Action: a.Action, Target: a.Target, TargetID: cutText(a.ID, mostNotedID), OrganizationID: orNull(a.OrganizationID), Outcome: outcome,
		Detail: orNull(cutText(detail, mostNotedDetail)), Before: before, After: after}
	if _, err := parseID(a.OrganizationID); err != nil {
		e.OrganizationID = nil // a mistyped one is nobody's
	}
	if x.from.IsValid() {
		e.Address = orNull(x.from.String())
	}
	return store.Audit(ctx, tx, x.caller.OrganizationID, e)
}

func noted(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a note for the audit log: %w", err)
	}
	return data, nil
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// noteRefusal notes what an operator asked for and was not given before any act began: who may only look tried to act,
// or the request could not be read.
func (s *Server) noteRefusal(ctx context.Context, rt route, x *exchange) {
	operates := x.caller.scopes&(admin|adminRead) != 0 && rt.scopes == admin && strings.HasPrefix(rt.path, "/api/admin/")
	if x.noted || !operates || x.status < http.StatusBadRequest || x.code == "rate_limited" {
		return
	}
	a := act{Action: "admin.attempt", Target: "route", ID: x.method + " " + x.path}
	switch {
	case x.caller.scopes&admin == 0:
		a.Action = "admin.presume"
		s.noteVain(ctx, a, forbidden(rt.scopes))
	case x.status >= http.StatusInternalServerError:
		s.noteVain(ctx, a, errors.New(x.code))
	default:
		s.noteVain(ctx, a, refuse(x.code, "the request was refused as it stood"))
	}
}
