package api

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminEventsInput struct {
	PageQuery
	Type           string    `query:"type" maxLength:"100"`
	OrganizationID string    `query:"organization_id" format:"uuid"`
	Subject        string    `query:"subject" maxLength:"100" doc:"Id of what they are about"`
	RequestID      string    `query:"request_id" maxLength:"128"`
	CreatedAfter   time.Time `query:"created_after"`
	CreatedBefore  time.Time `query:"created_before"`
}

type adminEventsOutput struct{ Body operator.EventList }

// listEvents lists the outbox of all organizations, newest first. It keeps a week.
func (s *Server) listEvents(ctx context.Context, in *adminEventsInput) (*adminEventsOutput, error) {
	if in.Type != "" && !isEventType(in.Type) {
		return nil, invalid(Fault{"/query/type", "is no type of events; see /asyncapi.json"})
	}
	organizationID, ok := canonicalID(in.OrganizationID)
	if in.OrganizationID != "" && !ok {
		return nil, invalid(Fault{"/query/organization_id", "must be the id of an organization"})
	}
	filters := []string{"events", in.Type, organizationID, in.Subject, in.RequestID, filterTime(in.CreatedAfter), filterTime(in.CreatedBefore)}
	behind, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	var rows []store.ChainEvent
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AdminEvents(ctx, tx, store.EventFilter{Type: in.Type, OrganizationID: organizationID, Subject: in.Subject,
			RequestID: in.RequestID, After: in.CreatedAfter, Before: in.CreatedBefore, Behind: behind, Limit: in.Limit + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.Event, len(rows))
	for i, e := range rows {
		list[i] = eventOf(e)
	}
	return &adminEventsOutput{operator.EventList(pageOf(list, in.Limit, func(e operator.Event) string { return e.ID }, filters...))}, nil
}

func isEventType(name string) bool {
	for _, k := range events.Catalogue() {
		if k.Type == name {
			return true
		}
	}
	return false
}

func eventOf(e store.ChainEvent) operator.Event {
	return operator.Event{ID: e.ID, Type: e.Type, OrganizationID: e.OrganizationID, Subject: e.Subject, Version: e.Version,
		CausationID: orNull(e.CausationID), RequestID: orNull(e.RequestID), TraceID: orNull(traceOf(e.TraceParent)), Route: orNull(e.Route),
		KeyID: orNull(e.KeyID), Position: e.XID + "/" + strconv.FormatInt(e.Place, 10), CreatedAt: e.CreatedAt.UTC()}
}

type adminEventInput struct {
	ID string `path:"id"`
}

type adminEventOutput struct{ Body operator.EventDetail }

// getEvent shows one event, without what it says.
func (s *Server) getEvent(ctx context.Context, in *adminEventInput) (*adminEventOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var v operator.EventDetail
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		v, err = s.eventDetail(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &adminEventOutput{v}, nil
}

func (s *Server) eventDetail(ctx context.Context, tx pgx.Tx, id string) (v operator.EventDetail, err error) {
	list, err := store.ChainEvents(ctx, tx, store.ByEvent, []string{id}, 1)
	if err != nil {
		return v, err
	}
	if len(list) == 0 {
		return v, notFound()
	}
	flow, err := store.ReadFlow(ctx, tx)
	if err != nil {
		return v, err
	}
	v.Event = eventOf(list[0])
	at := positionOf(flow.Epoch, list[0])
	if routed := routedTo(flow); routed != nil {
		v.Routed = !at.After(*routed)
	}
	if s.EventLog == nil {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, placesTime)
	defer cancel()
	if found, err := s.EventLog.Places(ctx, []events.Position{at}); err == nil && found[0].Seq > 0 {
		seq, published := int64(found[0].Seq), found[0].At.UTC()
		v.Seq, v.PublishedAt = &seq, &published
	}
	return v, nil
}

// routedTo is where the router stands in the present life of the outbox; nil: nowhere yet.
func routedTo(f store.FlowStand) *events.Position {
	if f.RouterEpoch == nil || *f.RouterEpoch != f.Epoch {
		return nil
	}
	xid, err := strconv.ParseUint(*f.RouterXID, 10, 64)
	if err != nil {
		return nil
	}
	return &events.Position{Epoch: f.Epoch, XID: xid, ID: *f.RouterPlace}
}

// revealEvent shows what an event says. Events carry no personal data, and still are not everybody's business.
func (s *Server) revealEvent(ctx context.Context, in *adminEventInput) (*adminEventOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var v operator.EventDetail
	err = s.act(ctx, act{Action: "event.reveal", Target: "event", ID: id}, func(tx pgx.Tx, note *act) (err error) {
		if v, err = s.eventDetail(ctx, tx, id); err != nil {
			return err
		}
		note.OrganizationID = v.OrganizationID
		content, err := store.EventContent(ctx, tx, id)
		v.Content = operator.Object(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &adminEventOutput{v}, nil
}
