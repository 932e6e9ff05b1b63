// Package events is the vocabulary of facts: what can happen, in which shape it is told, and under
// which name. Everybody imports it, so it depends on the standard library alone.
//
// A fact is a struct named by noun and past participle (JobRequested) with a wire type (job.requested)
// that never changes. Changes within a version are additive; a breaking change is a new type beside
// the old one. Every type has a frozen sample under testdata, so changing a shape is always on purpose.
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Source is the CloudEvents source of every event of this product.
const Source = "/payaid"

// SpecVersion is the CloudEvents version that the envelope follows.
const SpecVersion = "1.0"

// A Fact is something that happened to one aggregate. Its JSON encoding is the event's data.
type Fact interface {
	// EventType is the wire name, for example "job.requested".
	EventType() string
	// Aggregate names the thing that it happened to and that thing's version after it, so that a
	// consumer can tell old news from new.
	Aggregate() (id string, version int64)
}

// Envelope is an event as it travels: the CloudEvents attributes that we use, and the data.
type Envelope struct {
	ID               string          // UUIDv7, unique for ever
	Type             string          // "job.requested"
	Subject          string          // id of the aggregate
	Time             time.Time       // when the transaction that states the fact began, UTC
	OrganizationID   string          // the tenant
	AggregateVersion int64           // version of the aggregate after the fact
	CausationID      string          // id of the event that led to this one, or ""
	CorrelationID    string          // request id at the head of the chain, or ""
	TraceParent      string          // W3C trace context, or ""
	Data             json.RawMessage // the fact
}

// Subject is the NATS subject on which events of a wire type travel. It carries no personal data, as
// subjects show up in logs, permissions and advisories.
func Subject(eventType string) string { return SubjectPrefix + eventType + ".v1" }

// SubjectPrefix begins every event subject; the stream captures SubjectPrefix + ">".
const SubjectPrefix = "payaid.events."

// Headers of the CloudEvents binary mode, as the NATS binding spells them.
const (
	headerID               = "ce-id"
	headerSource           = "ce-source"
	headerType             = "ce-type"
	headerSpecVersion      = "ce-specversion"
	headerSubject          = "ce-subject"
	headerTime             = "ce-time"
	headerOrganizationID   = "ce-organizationid"
	headerAggregateVersion = "ce-aggregateversion"
	headerCausationID      = "ce-causationid"
	headerCorrelationID    = "ce-correlationid"
	headerTraceParent      = "traceparent"
	headerContentType      = "Content-Type"
)

// Headers gives the attributes as message headers in CloudEvents binary mode. Empty optional
// attributes are left out.
func (e Envelope) Headers() map[string]string {
	h := map[string]string{
		headerID:               e.ID,
		headerSource:           Source,
		headerType:             e.Type,
		headerSpecVersion:      SpecVersion,
		headerSubject:          e.Subject,
		headerTime:             e.Time.UTC().Format(time.RFC3339Nano),
		headerOrganizationID:   e.OrganizationID,
		headerAggregateVersion: strconv.FormatInt(e.AggregateVersion, 10),
		headerContentType:      "application/json",
	}
	for name, value := range map[string]string{
		headerCausationID:   e.CausationID,
		headerCorrelationID: e.CorrelationID,
		headerTraceParent:   e.TraceParent,
	} {
		if value != "" {
			h[name] = value
		}
	}
	return h
}

// ErrNotAnEvent is wrapped by what ParseHeaders finds wrong.
var ErrNotAnEvent = errors.New("not an event of ours")

// ParseHeaders reads an envelope back from message headers and body. It is strict about what a
// consumer relies on (id, type, organization, time, JSON data) and ignores attributes that it
// doesn't know.
func ParseHeaders(get func(string) string, body []byte) (Envelope, error) {
	e := Envelope{
		ID:             get(headerID),
		Type:           get(headerType),
		Subject:        get(headerSubject),
		OrganizationID: get(headerOrganizationID),
		CausationID:    get(headerCausationID),
		CorrelationID:  get(headerCorrelationID),
		TraceParent:    get(headerTraceParent),
		Data:           body,
	}
	for name, value := range map[string]string{
		headerID: e.ID, headerType: e.Type, headerSubject: e.Subject, headerOrganizationID: e.OrganizationID,
	} {
		if value == "" {
			return e, fmt.Errorf("%w: header %s is missing", ErrNotAnEvent, name)
		}
	}
	if v := get(headerSpecVersion); v != SpecVersion {
		return e, fmt.Errorf("%w: %s is %q, want %q", ErrNotAnEvent, headerSpecVersion, v, SpecVersion)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, get(headerTime)); err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrNotAnEvent, headerTime, err)
	}
	if e.AggregateVersion, err = strconv.ParseInt(get(headerAggregateVersion), 10, 64); err != nil {
		return e, fmt.Errorf("%w: %s: %w", ErrNotAnEvent, headerAggregateVersion, err)
	}
	if !json.Valid(body) {
		return e, fmt.Errorf("%w: the data is not JSON", ErrNotAnEvent)
	}
	return e, nil
}
