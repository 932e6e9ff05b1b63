package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

const (
	maxMetadata = 16 << 10
	maxAhead    = 365 * 24 * time.Hour
	maxFaults   = 100 // of one answer
)

// submitBody is a submitted job, for the document: the parser below reads it field by field, so that
// input and metadata pass through as they came, digit by digit.
type submitBody struct {
	Kind        string         `json:"kind"`
	Input       map[string]any `json:"input" doc:"As the kind asks"`
	Priority    string         `json:"priority,omitempty" enum:"high,normal,low" default:"normal"`
	RunAt       *time.Time     `json:"run_at,omitempty" nullable:"true" doc:"Not before; a time in the past is now; a year ahead at most"`
	Deadline    *time.Time     `json:"deadline,omitempty" nullable:"true" doc:"The job fails when it has not ended by then"`
	CallbackURL *string        `json:"callback_url,omitempty" nullable:"true" format:"uri" maxLength:"2048" doc:"Where to POST the event of the job's end, once it has completed, failed or was cancelled, and again after a retry by hand: the callback jobEnded tells what comes there"`
	Metadata    map[string]any `json:"metadata,omitempty" doc:"Yours; an object of at most 16 KiB"`
}

// batchBody is many submitted jobs, for the document.
type batchBody struct {
	Jobs []submitBody `json:"jobs" minItems:"1" maxItems:"1000"`
}

// A submission is a submitted job that may be carried out.
type submission struct {
	kind     *Kind
	input    json.RawMessage
	metadata json.RawMessage
	priority int
	runAt    time.Time
	deadline *time.Time
	callback *string // in normal form; nil: none
}

// A parser collects what is wrong with a submission, or with all of a batch.
type parser struct {
	kinds       map[string]*Kind
	caller      caller
	now         time.Time
	callbacks   webhook.Policy
	faults      []Fault
	unknownKind string
	forbidden   bool
}

// err is what the client reads when anything was wrong.
func (p *parser) err() error {
	switch {
	case p.forbidden:
		return forbidden(admin)
	case len(p.faults) == 0:
		return nil
	}
	// Fields come in the random order of a map.
	slices.SortStableFunc(p.faults, func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
	e := invalid(p.faults[:min(len(p.faults), maxFaults)]...)
	if p.unknownKind != "" {
		e.Code, e.Detail = "unknown_kind", p.noSuchKind()
	}
	return e
}

func (p *parser) noSuchKind() string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.kinds)) {
		if p.kinds[name].Scope != "admin" || p.caller.scopes&admin != 0 {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("there is no kind %q; there are %s", p.unknownKind, strings.Join(names, ", "))
}

func (p *parser) fault(pointer, detail string) {
	p.faults = append(p.faults, Fault{Pointer: pointer, Detail: detail})
}

// job reads one submission; at is its pointer in the body.
func (p *parser) job(raw json.RawMessage, at string) submission {
	sub := submission{priority: 2, runAt: p.now, metadata: json.RawMessage("{}")}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		p.fault(at, "must be an object")
		return sub
	}
	for name, value := range fields {
		if string(value) == "null" && name != "kind" && name != "input" {
			value = nil
		}
		p.field(&sub, name, value, at)
	}
	p.required(fields, at)
	if sub.deadline != nil && (!sub.deadline.After(p.now) || !sub.deadline.After(sub.runAt)) {
		p.fault(at+"/deadline", "must be after now and after run_at")
	}
	if sub.kind == nil || sub.input == nil {
		return sub
	}
	if sub.kind.Scope == "admin" && p.caller.scopes&admin == 0 {
		p.forbidden = true
		return sub
	}
	if sub.kind.Check != nil {
		for _, f := range sub.kind.Check(sub.input) {
			p.fault(at+"/input"+f.Pointer, f.Detail)
		}
	}
	return sub
}

func (p *parser) required(fields map[string]json.RawMessage, at string) {
	for _, name := range []string{"kind", "input"} {
		if _, ok := fields[name]; !ok {
			p.fault(at+"/"+name, "is required")
		}
	}
}

// field reads one field; a nil value was null.
func (p *parser) field(sub *submission, name string, value json.RawMessage, at string) {
	at += "/" + escapePointer(name)
	switch name {
	case "kind":
		p.kind(sub, value, at)
	case "input":
		sub.input = p.object(value, at)
	case "priority":
		p.priority(sub, value, at)
	case "run_at":
		if t := p.time(value, at); t != nil && t.After(p.now) {
			sub.runAt = *t
			if t.Sub(p.now) > maxAhead {
				p.fault(at, "must be within a year")
			}
		}
	case "deadline":
		sub.deadline = p.time(value, at)
	case "metadata":
		if value == nil {
			return
		}
		if sub.metadata = p.object(value, at); len(value) > maxMetadata {
			p.fault(at, "must be at most 16 KiB")
		}
	case "callback_url":
		sub.callback = p.url(value, at)
	default:
		p.fault(at, "is not a field of a job")
	}
}

func (p *parser) kind(sub *submission, value json.RawMessage, at string) {
	var name string
	if json.Unmarshal(value, &name) != nil || string(value) == "null" {
		p.fault(at, "must be a string")
		return
	}
	if sub.kind = p.kinds[name]; sub.kind == nil {
		p.unknownKind = name
		p.fault(at, "is not a kind of job")
	}
}

func (p *parser) priority(sub *submission, value json.RawMessage, at string) {
	switch string(value) {
	case "", `"normal"`:
	case `"high"`:
		sub.priority = 1
	case `"low"`:
		sub.priority = 3
	default:
		p.fault(at, "must be high, normal or low")
	}
}

// url reads where to call back. What is wrong with it is said without it, as it may hold a secret.
func (p *parser) url(value json.RawMessage, at string) *string {
	if value == nil {
		return nil
	}
	var raw string
	if json.Unmarshal(value, &raw) != nil {
		p.fault(at, "must be a string")
		return nil
	}
	normal, err := p.callbacks.CheckURL(raw)
	if err != nil {
		p.fault(at, err.Error())
		return nil
	}
	return &normal
}

func (p *parser) object(value json.RawMessage, at string) json.RawMessage {
	if len(value) == 0 || value[0] != '{' {
		p.fault(at, "must be an object")
		return nil
	}
	return value
}

// time reads a time, to the microsecond that the database keeps.
func (p *parser) time(value json.RawMessage, at string) *time.Time {
	if value == nil {
		return nil
	}
	var t time.Time
	if err := json.Unmarshal(value, &t); err != nil {
		p.fault(at, "must be a time as in RFC 3339, such as 2027-01-31T09:30:00Z")
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// newJob makes the row of a submission.
func newJob(x *exchange, sub submission, id, eventID string, now time.Time) store.Job {
	return store.Job{
		OrganizationID: x.caller.OrganizationID, ID: id, Kind: sub.kind.Name, Queue: sub.kind.Queue,
		Status: store.Queued, Priority: sub.priority, Run: 1, MaxAttempts: sub.kind.MaxAttempts,
		Input: sub.input, Metadata: sub.metadata, RunAt: sub.runAt, Deadline: sub.deadline,
		CallbackURL: sub.callback, EventID: eventID, RequestID: &x.id, TraceParent: &x.traceParent, CreatedAt: now, Version: 1,
	}
}
