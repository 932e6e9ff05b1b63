package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminDeliveriesInput struct {
	PageQuery
	OrganizationID string    `query:"organization_id" format:"uuid"`
	EndpointID     string    `query:"endpoint_id" format:"uuid"`
	Status         string    `query:"status" enum:"pending,succeeded,failed"`
	EventType      string    `query:"event_type" maxLength:"100"`
	Purpose        string    `query:"purpose" enum:"event,callback,test"`
	CreatedAfter   time.Time `query:"created_after" doc:"Left out, where no organization is named: a day ago"`
	CreatedBefore  time.Time `query:"created_before"`
}

type adminDeliveriesOutput struct{ Body operator.DeliveryList }

// listAllDeliveries lists deliveries of all organizations, callbacks included.
func (s *Server) listAllDeliveries(ctx context.Context, in *adminDeliveriesInput) (*adminDeliveriesOutput, error) {
	organizationID, ok := canonicalID(in.OrganizationID)
	endpointID, fine := canonicalID(in.EndpointID)
	switch {
	case in.OrganizationID != "" && !ok:
		return nil, invalid(Fault{"/query/organization_id", "must be the id of an organization"})
	case in.EndpointID != "" && (!fine || organizationID == ""):
		return nil, invalid(Fault{"/query/endpoint_id", "must be the id of an endpoint, and organization_id that of its organization"})
	}
	filters := []string{"deliveries of all", organizationID, endpointID, in.Status, in.EventType, in.Purpose, filterTime(in.CreatedAfter), filterTime(in.CreatedBefore)}
	behind, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	f := store.AdminDeliveryFilter{OrganizationID: organizationID, EndpointID: endpointID, Status: in.Status, EventType: in.EventType,
		Purpose: in.Purpose, After: in.CreatedAfter, Before: in.CreatedBefore, Behind: behind, Limit: in.Limit + 1}
	if f.After.IsZero() && organizationID == "" {
		f.After = time.Now().AddDate(0, 0, -1)
	}
	var rows []store.AdminDelivery
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AdminDeliveries(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.Delivery, len(rows))
	for i, d := range rows {
		list[i] = operator.Delivery{ID: d.ID, OrganizationID: d.OrganizationID, EndpointID: orNull(d.EndpointID), JobID: d.JobID, Receiver: hostOf(d.URL),
			EventID: d.EventID, EventType: d.EventType, Purpose: d.Purpose, Status: d.Status, Run: d.Run, Attempts: d.Attempts,
			NextAttemptAt: utc(d.NextAttemptAt), StatusCode: d.StatusCode, Code: orNull(d.ErrorCode), Error: orNull(d.Error),
			CreatedAt: d.CreatedAt.UTC(), FinishedAt: utc(d.FinishedAt)}
	}
	return &adminDeliveriesOutput{operator.DeliveryList(pageOf(list, in.Limit, func(d operator.Delivery) string { return d.ID }, filters...))}, nil
}

type adminDeliveryInput struct {
	ID string `path:"id"`
}

type adminDeliveryOutput struct{ Body operator.FullDelivery }

// getAnyDelivery shows a delivery and its attempts, without contents.
func (s *Server) getAnyDelivery(ctx context.Context, in *adminDeliveryInput) (*adminDeliveryOutput, error) {
	_, d, err := s.anyDelivery(ctx, in)
	if err != nil {
		return nil, err
	}
	return &adminDeliveryOutput{hiddenDelivery(d)}, nil
}

// anyDelivery finds a delivery by its id alone.
func (s *Server) anyDelivery(ctx context.Context, in *adminDeliveryInput) (organizationID string, d store.DeliveryDetail, err error) {
	id, err := parseID(in.ID)
	if err != nil {
		return "", d, err
	}
	var endpointID string
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		organizationID, endpointID, err = store.OwnerOfDelivery(ctx, tx, id)
		return err
	})
	if err != nil {
		return "", d, err
	}
	d, err = inTime(ctx, func(ctx context.Context) (store.DeliveryDetail, error) {
		return s.DB.Delivery(ctx, organizationID, endpointID, id)
	})
	return organizationID, d, err
}

func deliveryOf(d store.DeliveryDetail) operator.FullDelivery {
	v := operator.FullDelivery{Delivery: operator.Delivery{ID: d.ID, OrganizationID: d.OrganizationID, EndpointID: d.EndpointID, JobID: d.JobID, Receiver: "an endpoint",
		EventID: d.EventID, EventType: d.EventType, Purpose: d.Purpose, Status: d.Status, Run: d.Run, Attempts: d.Attempts,
		StatusCode: d.StatusCode, Code: d.ErrorCode, Error: d.Error, CreatedAt: d.CreatedAt.UTC(), FinishedAt: utc(d.FinishedAt)},
		Tries: []operator.DeliveryTry{}}
	if d.URL != nil {
		v.Receiver = hostOf(*d.URL)
	}
	now := time.Now()
	waiting := waitingOf(d.ListedDelivery, now)
	if v.NextAttemptAt = nextAttempt(d.ListedDelivery, waiting, now); waiting != nil {
		v.Waiting = &waiting.Reason
	}
	if d.Body != nil {
		v.Body = operator.Object(*d.Body)
	}
	v.Tries = append(v.Tries, triesOf(d)...)
	return v
}

func triesOf(d store.DeliveryDetail) (list []operator.DeliveryTry) {
	for _, a := range deliveryDetailOf(d).Attempts {
		list = append(list, operator.DeliveryTry{Run: a.Run, Attempt: a.Attempt, At: a.At, LatencyMS: a.LatencyMS, Address: a.Address,
			StatusCode: a.StatusCode, Code: a.Code, Error: a.Error, RequestHeaders: headersOf(a.RequestHeaders),
			ResponseHeaders: headersOf(a.ResponseHeaders), ResponseBody: a.ResponseBody})
	}
	return list
}

// headersOf reads headers as they were kept; nil where there are none.
func headersOf(kept jsonObject) (headers map[string][]string) {
	if json.Unmarshal(kept, &headers) != nil {
		return nil
	}
	return headers
}

// hiddenDelivery is a delivery without what was sent and answered: of headers, the names alone.
func hiddenDelivery(d store.DeliveryDetail) operator.FullDelivery {
	v := deliveryOf(d)
	v.Body, v.Hidden = nil, true
	for i := range v.Tries {
		v.Tries[i].ResponseBody = nil
		for _, headers := range []map[string][]string{v.Tries[i].RequestHeaders, v.Tries[i].ResponseHeaders} {
			for name := range headers {
				headers[name] = []string{}
			}
		}
	}
	return v
}

// revealDelivery shows what was sent and answered.
func (s *Server) revealDelivery(ctx context.Context, in *adminDeliveryInput) (*adminDeliveryOutput, error) {
	organizationID, d, err := s.anyDelivery(ctx, in)
	if err != nil {
		return nil, err
	}
	a := act{Action: "delivery.reveal", Target: "delivery", ID: d.ID, OrganizationID: organizationID}
	if err := s.act(ctx, a, func(pgx.Tx, *act) error { return nil }); err != nil {
		return nil, err
	}
	return &adminDeliveryOutput{deliveryOf(d)}, nil
}

// replayAnyDelivery makes a delivery again, ahead of all others.
func (s *Server) replayAnyDelivery(ctx context.Context, in *adminDeliveryInput) (*adminDeliveryOutput, error) {
	organizationID, d, err := s.anyDelivery(ctx, in)
	if err != nil {
		return nil, err
	}
	fact := events.WebhookDeliveryRequested{DeliveryID: d.ID}
	if d.EndpointID != nil {
		fact.EndpointID = *d.EndpointID
	}
	a := act{Action: "delivery.replay", Target: "delivery", ID: d.ID, OrganizationID: organizationID, Before: deliveryNote(d.ListedDelivery)}
	err = s.act(ctx, a, func(tx pgx.Tx, note *act) (err error) {
		if d.ListedDelivery, err = rerun(ctx, tx, organizationID, fact.EndpointID, d.ID); err != nil {
			return err
		}
		fact.Run, note.After = d.Run, deliveryNote(d.ListedDelivery)
		return s.stateFor(ctx, tx, organizationID, []events.Fact{fact})
	})
	if err != nil {
		return nil, err
	}
	s.announce(ctx, []events.Fact{fact})
	return &adminDeliveryOutput{hiddenDelivery(d)}, nil
}

func deliveryNote(d store.ListedDelivery) map[string]any {
	return map[string]any{"status": d.Status, "run": d.Run, "attempts": d.Attempts}
}
