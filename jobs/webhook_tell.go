package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// A Happening is an event, and the fact that it tells.
type Happening struct {
	events.Envelope
	Fact events.Fact
}

// Telling has a row's jobs started by the facts that those who listen are told of: one for each of them, when its turn
// comes. Who listens is looked up in the transaction that routes the fact.
func Telling(j Job, told func(Happening) bool) Job {
	j.told = told
	return j
}

// everyListener tells all facts but those that ask for work of webhooks.
func everyListener(h Happening) bool { return !inside[h.Type] }

var inside = func() map[string]bool {
	types := make(map[string]bool)
	for _, k := range events.Catalogue() {
		types[k.Type] = k.Inside
	}
	return types
}()

// Listens reports whether any of some patterns, which are types, noun.* or *, is that of a type of events.
func Listens(patterns []string, eventType string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		noun, wild := strings.CutSuffix(p, "*")
		return p == eventType || wild && strings.HasPrefix(eventType, noun)
	})
}

// News is facts that others may want to hear of, and who does.
type News struct {
	list      []Happening
	listeners []store.Listener
	callbacks []store.Callback
}

// Announce adds the search for those who listen to facts to a batch, which the caller sends in its transaction; it adds
// nothing where the table says that nobody is told of them.
func Announce(b *pgx.Batch, table []Job, list []Happening) *News {
	n := &News{}
	var organizations []string
	var called []store.OrganizationJob
	for _, h := range list {
		if !slices.ContainsFunc(table, func(j Job) bool { return j.told != nil && j.told(h) }) {
			continue
		}
		n.list = append(n.list, h)
		organizations = append(organizations, h.OrganizationID)
		if id := calledBack(h.Fact); id != "" {
			called = append(called, store.OrganizationJob{OrganizationID: h.OrganizationID, JobID: id})
		}
	}
	slices.Sort(organizations)
	if organizations = slices.Compact(organizations); len(organizations) > 0 {
		store.QueueListeners(b, organizations, &n.listeners)
	}
	if len(called) > 0 {
		store.QueueCallbacks(b, called, &n.callbacks)
	}
	return n
}

// calledBack is the job whose client wants to be called back because of a fact, or "".
func calledBack(f events.Fact) string {
	switch f := f.(type) {
	case events.JobCompleted:
		if f.Callback {
			return f.JobID
		}
	case events.JobFailed:
		if f.Callback {
			return f.JobID
		}
	case events.JobCancelled:
		if f.Callback {
			return f.JobID
		}
	}
	return ""
}

// Told is what telling came to.
type Told struct {
	Deliveries int                      // new ones, and old ones that are made anew
	Inserts    []river.InsertManyParams // of those whose turn it is
	// TraceParents are beside Inserts the steps that told of their events; "": that is not recorded, or the turn is of an
	// event that was told of before.
	TraceParents []string
}

// Tell writes down who is to be told of what, in the transaction in which the batch was sent, and admits what the lanes
// have room for. Nothing is asked of Postgres when nobody listens.
func (n *News) Tell(ctx context.Context, tx pgx.Tx, repeat store.Repeat) (told Told, err error) {
	bodies, list, err := n.deliveries()
	if err != nil || len(list) == 0 {
		return told, err
	}
	var lanes []store.Lane
	for _, d := range list {
		lanes = append(lanes, d.Lane)
	}
	var turns []store.Turn
	b := &pgx.Batch{}
	store.QueueDeliveries(b, bodies, list, repeat, &told.Deliveries)
	store.QueueAdmission(b, lanes, Webhook.Share, &turns)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return told, fmt.Errorf("tell of %d events: %w", len(n.list), err)
	}
	told.Inserts, told.TraceParents = insertTurns(turns), n.tracesOf(list, turns)
	return told, nil
}

// tracesOf finds the steps that told of what has its turn at once.
func (n *News) tracesOf(list []store.NewDelivery, turns []store.Turn) []string {
	events, deliveries, traces := make(map[string]string), make(map[string]string), make([]string, len(turns))
	for _, h := range n.list {
		events[h.ID] = h.TraceParent
	}
	for _, d := range list {
		deliveries[d.ID] = events[d.EventID]
	}
	for i, t := range turns {
		traces[i] = deliveries[t.DeliveryID]
	}
	return traces
}

// Count is how many deliveries it would come to, of which those that are under way are none, to tell of the facts again.
func (n *News) Count(ctx context.Context, tx pgx.Tx) (int, error) {
	_, list, err := n.deliveries()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	underWay, err := store.CountUnderWay(ctx, tx, list)
	return len(list) - underWay, err
}

// deliveries are one for each fact and receiver, in the order of the facts.
func (n *News) deliveries() (bodies []store.WebhookEvent, list []store.NewDelivery, err error) {
	listeners := make(map[string][]store.Listener)
	for _, l := range n.listeners {
		listeners[l.OrganizationID] = append(listeners[l.OrganizationID], l)
	}
	urls := make(map[store.OrganizationJob]string)
	for _, c := range n.callbacks {
		urls[store.OrganizationJob{OrganizationID: c.OrganizationID, JobID: c.JobID}] = c.URL
	}
	for _, h := range n.list {
		before := len(list)
		for _, l := range listeners[h.OrganizationID] {
			if Listens(l.Events, h.Type) {
				list = append(list, toEndpoint(h.Envelope, l.EndpointID))
			}
		}
		id := calledBack(h.Fact)
		if url, ok := urls[store.OrganizationJob{OrganizationID: h.OrganizationID, JobID: id}]; ok {
			list = append(list, toCallback(h.Envelope, id, url))
		}
		if len(list) == before {
			continue
		}
		body, err := bodyOf(h.Envelope)
		if err != nil {
			return nil, nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, list, nil
}

// bodyOf is an event as it is sent.
func bodyOf(e events.Envelope) (store.WebhookEvent, error) {
	body, err := events.Structured(e)
	if err != nil {
		return store.WebhookEvent{}, fmt.Errorf("%w: %w", events.ErrNotAnEvent, err)
	}
	return store.WebhookEvent{OrganizationID: e.OrganizationID, ID: e.ID, Type: e.Type, Body: string(body)}, nil
}

func toEndpoint(e events.Envelope, endpointID string) store.NewDelivery {
	return store.NewDelivery{Lane: store.Lane{OrganizationID: e.OrganizationID, ID: endpointID}, ID: outbox.NewID(),
		EndpointID: &endpointID, EventID: e.ID, EventType: e.Type, Purpose: store.DeliveryOfEvent}
}

func toCallback(e events.Envelope, jobID, url string) store.NewDelivery {
	origin := webhook.Origin(url)
	return store.NewDelivery{Lane: store.CallbackLane(e.OrganizationID, origin), ID: outbox.NewID(), JobID: &jobID, URL: &url,
		Origin: &origin, EventID: e.ID, EventType: e.Type, Purpose: store.DeliveryOfCallback}
}
