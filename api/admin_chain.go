package api

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type chainInput struct {
	ID string `path:"id" maxLength:"400" doc:"A request id, the id of an event, a job, a mail, a delivery, a contact, a deal, an invoice, an API key, an endpoint or a backup; a Message-ID; the name that a mail server gave a mail; a trace id or traceparent; a number of River's; seq:N for a message of the event stream; XID/N for a place in the outbox"`
	As string `query:"as" doc:"Of several meanings, the one to show: its type"`
}

type chainOutput struct{ Body operator.Chain }

const unknownID = "Nothing that is kept has this id. It may be a request id, a job, an event, a mail or its Message-ID, a mail server's queue id, " +
	"a trace id or traceparent, a delivery, a contact, a deal, an invoice, an API key, a backup, a number of River's, seq:N for a message of the event stream, or XID/N for " +
	"a place in the outbox. Events, and with them requests and traces, are kept for 7 days, the event stream and deliveries for 30, jobs for 90, River's own rows for 1 to 7 days. " +
	"Requests that changed nothing, or were refused, leave nothing here: look for their id in the log."

// getChain finds out what an id is, and shows all that hangs together with it.
func (s *Server) getChain(ctx context.Context, in *chainInput) (*chainOutput, error) {
	id := cleanID(in.ID)
	if id == "" || len(id) > longestID {
		return nil, refuse("not_found", unknownID)
	}
	f := &finder{log: s.EventLog}
	var walk *chainWalk
	var shown meaning
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		f.tx = tx
		if err := f.find(ctx, id); err != nil || len(f.found) == 0 {
			return err
		}
		shown = f.choose(in.As)
		walk, err = walkChain(ctx, tx, shown.seeds)
		return err
	})
	if err != nil {
		return nil, err
	}
	if walk == nil {
		return nil, refuse("not_found", unknownID)
	}
	c := operator.Chain{Query: in.ID, As: shown.Type, Notes: []string{}, Nodes: []operator.ChainNode{}}
	for _, m := range f.found {
		c.Meanings = append(c.Meanings, m.ChainMeaning)
	}
	m := &chainMaker{chainWalk: walk, places: s.placesOf(ctx, walk, f)}
	m.make()
	m.arrange(&c, shown.asked)
	c.Notes = append(c.Notes, f.notes...)
	entitle(&c)
	return &chainOutput{c}, nil
}

// entitle names a request as its first fact does, which is read later than the id is found.
func entitle(c *operator.Chain) {
	for _, n := range c.Nodes {
		if n.Type == "request" && c.Meanings[0].Type == "request" && n.Ref == c.Meanings[0].ID {
			c.Meanings[0].Title = requestTitle(n.Title)
		}
	}
}

// choose is the meaning that was asked for, or the first.
func (f *finder) choose(as string) meaning {
	for _, m := range f.found {
		if m.Type == as {
			return m
		}
	}
	return f.found[0]
}

const (
	// placesTime bounds what a chain waits for the event stream, placesMost how many events are looked for in it.
	placesTime = 400 * time.Millisecond
	placesMost = 60
)

// placesOf finds events in the stream.
func (s *Server) placesOf(ctx context.Context, w *chainWalk, f *finder) map[string]LoggedPlace {
	if s.EventLog == nil || len(w.events) == 0 {
		return nil
	}
	list := make([]store.ChainEvent, 0, len(w.events))
	for _, e := range w.events {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b store.ChainEvent) int { return a.CreatedAt.Compare(b.CreatedAt) })
	list = list[:min(len(list), placesMost)]
	positions := make([]events.Position, len(list))
	for i, e := range list {
		positions[i] = positionOf(w.epoch, e)
	}
	ctx, cancel := context.WithTimeout(ctx, placesTime)
	defer cancel()
	found, err := s.EventLog.Places(ctx, positions)
	if err != nil {
		f.notes = append(f.notes, "The event stream does not answer, so it isn't shown when events were published.")
		return nil
	}
	places := make(map[string]LoggedPlace, len(list))
	for i, e := range list {
		places[e.ID] = found[i]
	}
	return places
}

// positionOf is the place of an event in the present life of the outbox.
func positionOf(epoch string, e store.ChainEvent) events.Position {
	xid, err := strconv.ParseUint(e.XID, 10, 64)
	if err != nil {
		return events.Position{} // which is no event's
	}
	return events.Position{Epoch: epoch, XID: xid, ID: e.Place}
}

// arrange puts the nodes in the order of causes, with how far apart they are, and bounds how many there are.
func (m *chainMaker) arrange(c *operator.Chain, asked string) {
	below := make(map[string][]int)
	var roots []int
	for i, n := range m.nodes {
		if n.CausedBy != nil {
			if _, known := m.at[*n.CausedBy]; known && *n.CausedBy != n.ID {
				below[*n.CausedBy] = append(below[*n.CausedBy], i)
				continue
			}
			m.nodes[i].CausedBy = nil
		}
		roots = append(roots, i)
	}
	var place func(list []int, depth int)
	seen := make(map[int]bool)
	place = func(list []int, depth int) {
		slices.SortFunc(list, m.inTime)
		for _, i := range list {
			if seen[i] || len(c.Nodes) >= chainNodes {
				continue
			}
			seen[i] = true
			n := m.nodes[i]
			n.Depth, n.Asked = depth, n.ID == asked
			m.measure(&n)
			c.Nodes = append(c.Nodes, n)
			place(below[n.ID], depth+1)
		}
	}
	place(roots, 0)
	m.conclude(c)
}

// inTime orders steps that one thing led to: by time, and where that is one and the same, as the flow goes.
func (m *chainMaker) inTime(a, b int) int {
	x, y := m.nodes[a], m.nodes[b]
	order := []string{"request", "event", "job", "attempt", "call", "effect", "mail", "mail_event", "cache", "work", "delivery", "try"}
	return cmp.Or(x.At.Compare(y.At), cmp.Compare(slices.Index(order, x.Type), slices.Index(order, y.Type)), strings.Compare(x.ID, y.ID))
}

// measure gives a node its distances.
func (m *chainMaker) measure(n *operator.ChainNode) {
	if n.CausedBy != nil {
		after := inMS(n.At.Sub(m.nodes[m.at[*n.CausedBy]].At))
		n.AfterMS = &after
	}
	if n.EndedAt != nil && !n.EndedAt.Before(n.At) {
		took := inMS(n.EndedAt.Sub(n.At))
		n.TookMS = &took
	}
}

func inMS(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/100) / 10 }

// conclude says what was left out.
func (m *chainMaker) conclude(c *operator.Chain) {
	c.Complete = !m.cut && !m.depth && len(c.Nodes) == len(m.nodes)
	if m.depth {
		c.Notes = append(c.Notes, fmt.Sprintf("What lies more than %d steps away was not looked for: ask for the id of the last step to go on.", chainDepth))
	}
	if m.cut {
		c.Notes = append(c.Notes, fmt.Sprintf("There are more than %d events of one request or thing: the newest are shown.", eventsOfOne))
	}
	if left := len(m.nodes) - len(c.Nodes); left > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d more steps were found and are not shown.", left))
	}
	silent := 0
	for _, a := range m.attempts {
		if a.LeftOut {
			silent++
		}
	}
	if silent > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("The logs of %d earlier attempts are on the pages of their jobs: there is room for %d KB here.", silent, chainLog>>10))
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if c.BeganAt == nil || n.At.Before(*c.BeganAt) {
			c.BeganAt = &n.At
		}
		for _, t := range []*time.Time{&n.At, n.EndedAt} {
			if t != nil && (c.EndedAt == nil || t.After(*c.EndedAt)) {
				c.EndedAt = t
			}
		}
	}
}
