package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

const (
	maxWebhookEvents  = 100
	maxWebhookHeaders = 20
)

// WebhookFields are what a client may say of an endpoint beside its URL and events. null takes away.
type WebhookFields struct {
	Description optional[string]             `json:"description,omitzero" nullable:"true" minLength:"1" maxLength:"500"`
	Headers     optional[map[string]*string] `json:"headers,omitzero" nullable:"true" doc:"Sent with every delivery, at most 20. Those that belong to the connection or to deliveries themselves are refused. null takes one away, or is as if it were left out where there is none; *** is no value: in a change it keeps the one that there is, unless that isn't shown and the URL becomes that of another host"`
	RateLimit   optional[int]                `json:"rate_limit,omitzero" nullable:"true" minimum:"1" maximum:"60000" doc:"Deliveries a minute at most. Left out or null: as many as come"`
}

// webhookPatch is a JSON merge patch (RFC 7396): what is left out stays, null takes away.
type webhookPatch struct {
	URL    optional[string]   `json:"url,omitzero" minLength:"1" maxLength:"2048" doc:"Where deliveries are posted to. Another one begins with a clean record"`
	Events optional[[]string] `json:"events,omitzero" minItems:"1" maxItems:"100" doc:"Types of events, such as invoice.paid; all of a noun, such as contact.*; or * for all"`
	Status optional[string]   `json:"status,omitzero" enum:"enabled,disabled" doc:"Who is disabled hears of nothing, and of what happened meanwhile only by POST /api/webhooks/{id}/replay. Enabling begins with a clean record"`
	WebhookFields
}

// A webhookChange tells what a patch came to beside the fields.
type webhookChange struct{ any, cleanRecord, disabled bool }

// apply changes e.
func (p webhookPatch) apply(e *store.WebhookEndpoint, policy webhook.Policy) (c webhookChange, err error) {
	var m merge
	origin, headers := webhook.Origin(e.URL), e.Headers
	m.text("url", &e.URL, p.URL, policy.CheckURL)
	c.cleanRecord = len(m.changed) > 0
	m.webhookEvents(&e.Events, p.Events)
	m.optionalText("description", &e.Description, p.Description, line)
	m.webhookHeaders(&e.Headers, p.Headers)
	if webhook.Origin(e.URL) != origin {
		m.hiddenAnew(headers, p.Headers)
	}
	if limit := p.RateLimit; limit.set && !equal(e.RateLimit, limit.pointer()) {
		e.RateLimit = limit.pointer()
		m.changed = append(m.changed, "rate_limit")
	}
	for name, null := range map[string]bool{"url": p.URL.null, "events": p.Events.null, "status": p.Status.null} {
		if null {
			m.fault("/"+name, "can't be taken away")
		}
	}
	if len(m.faults) > 0 {
		slices.SortFunc(m.faults, func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
		return c, invalid(m.faults...)
	}
	if p.Status.set && p.Status.value != e.Status {
		m.changed = append(m.changed, "status")
		c.disabled = p.Status.value == store.WebhookDisabled
		c.cleanRecord = c.cleanRecord || !c.disabled
		switchWebhook(e, p.Status.value)
	}
	c.any = len(m.changed) > 0
	return c, nil
}

func switchWebhook(e *store.WebhookEndpoint, status string) {
	e.Status, e.DisabledCode, e.DisabledReason = status, nil, nil
	if status == store.WebhookDisabled {
		code, reason := store.WebhookDisabledByOwner, "it was disabled through the API"
		e.DisabledCode, e.DisabledReason = &code, &reason
	}
}

func (m *merge) webhookEvents(field *[]string, given optional[[]string]) {
	if !given.set || given.null {
		return
	}
	if len(given.value) == 0 || len(given.value) > maxWebhookEvents {
		m.fault("/events", fmt.Sprintf("must have 1 to %d types of events", maxWebhookEvents))
		return
	}
	for i, pattern := range given.value {
		err := checkEventPattern(pattern)
		if slices.Contains(given.value[:i], pattern) {
			err = errors.New("is there twice")
		}
		if err != nil {
			m.fault("/events/"+strconv.Itoa(i), err.Error())
		}
	}
	if !slices.Equal(given.value, *field) {
		*field = given.value
		m.changed = append(m.changed, "events")
	}
}

// toldEvents are the types of events that webhooks are told of, by their nouns.
var toldEvents = func() map[string][]string {
	nouns := make(map[string][]string)
	for _, k := range events.Catalogue() {
		if noun, _, ok := strings.Cut(k.Type, "."); ok && !k.Inside {
			nouns[noun] = append(nouns[noun], k.Type)
		}
	}
	for _, types := range nouns {
		slices.Sort(types)
	}
	return nouns
}()

// checkEventPattern wants a type that webhooks are told of, all of a noun, or all there are. What it finds wrong goes
// on with what there is.
func checkEventPattern(pattern string) error {
	if pattern == "*" {
		return nil
	}
	noun, verb, _ := strings.Cut(pattern, ".")
	types := toldEvents[noun]
	switch {
	case types == nil:
		return fmt.Errorf("is no event's; there are those of %s, and *", strings.Join(slices.Sorted(maps.Keys(toldEvents)), ", "))
	case verb == "*" || slices.Contains(types, pattern):
		return nil
	}
	return fmt.Errorf("is no event's; of %s there are %s, and %[1]s.*", noun, strings.Join(types, ", "))
}

// webhookHeaders merges headers name by name, whatever their capitals.
func (m *merge) webhookHeaders(field *map[string]string, given optional[map[string]*string]) {
	if !given.set {
		return
	}
	merged := maps.Clone(*field)
	if given.null || merged == nil {
		merged = make(map[string]string)
	}
	seen := make(map[string]bool, len(given.value))
	faultless := true
	for _, as := range slices.Sorted(maps.Keys(given.value)) {
		name := http.CanonicalHeaderKey(as)
		err := mergeHeader(merged, name, given.value[as])
		if seen[name] {
			err = errors.New("is there twice, in other capitals")
		}
		seen[name] = true
		if err != nil {
			faultless = false
			m.fault("/headers/"+escapePointer(as), err.Error())
		}
	}
	if faultless && len(merged) > maxWebhookHeaders {
		m.fault("/headers", fmt.Sprintf("has more than %d headers", maxWebhookHeaders))
	}
	if !maps.Equal(merged, *field) {
		*field = merged
		m.changed = append(m.changed, "headers")
	}
}

// hiddenAnew wants an endpoint that moves to another host to be given the headers anew that no read shows. Who may change
// endpoints would else learn them, by having them sent to a host of their own.
func (m *merge) hiddenAnew(before map[string]string, given optional[map[string]*string]) {
	if given.null {
		return
	}
	anew := make(map[string]bool, len(given.value))
	for as, value := range given.value {
		if value == nil || *value != webhook.Masked {
			anew[http.CanonicalHeaderKey(as)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if webhook.Hidden(name) && !anew[name] {
			m.fault("/headers/"+escapePointer(name), "isn't sent to another host: give its value anew, or take it away by null")
		}
	}
}

func mergeHeader(headers map[string]string, name string, value *string) error {
	if value == nil {
		delete(headers, name)
		return nil
	}
	// Nobody means it as a value: it is what reads show, sent back.
	if *value == webhook.Masked {
		if _, kept := headers[name]; !kept {
			return errors.New("has no value that *** could keep")
		}
		return nil
	}
	headers[name] = *value
	return webhook.CheckHeader(name, *value)
}
