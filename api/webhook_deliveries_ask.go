package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type testWebhookInput struct {
	ID   string `path:"id"`
	Body struct {
		EventType string `json:"event_type,omitempty" nullable:"true" maxLength:"100" doc:"A sample of this type is sent, with \"sample\": true in its data. Left out: an event of the type webhook.test"`
	}
}

// testWebhook sends an endpoint an event that didn't happen, once, whatever it wants to hear of, and also while it is
// disabled.
func (s *Server) testWebhook(ctx context.Context, in *testWebhookInput) (*created[deliveryView], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return s.deliverNow(ctx, func(tx pgx.Tx, x *exchange) (store.ListedDelivery, error) {
		e, err := store.LockWebhookEndpoint(ctx, tx, x.caller.OrganizationID, id)
		if err != nil {
			return store.ListedDelivery{}, err
		}
		event, err := testEvent(in.Body.EventType, e)
		if err != nil {
			return store.ListedDelivery{}, err
		}
		event.ID, event.Time, event.OrganizationID = outbox.NewID(), time.Now().UTC(), e.OrganizationID
		event.CorrelationID, event.TraceParent = x.id, x.traceParent
		body, err := events.Structured(event)
		if err != nil {
			return store.ListedDelivery{}, err
		}
		return store.InsertTestDelivery(ctx, tx, store.TestDelivery{OrganizationID: e.OrganizationID, ID: outbox.NewID(),
			EndpointID: e.ID, EventID: event.ID, EventType: event.Type, Body: string(body)})
	})
}

// webhookTest is the type of the events that tests send where they name none.
const webhookTest = "webhook.test"

const testMessage = "This is a test. Nothing has happened."

// testData is the data of a webhook.test.
type testData struct {
	EndpointID string `json:"endpoint_id" format:"uuid"`
	Message    string `json:"message"`
}

// testEvent makes an event of a type, "" for webhook.test, that says of itself that it is none.
func testEvent(eventType string, e store.WebhookEndpoint) (events.Envelope, error) {
	if eventType == "" || eventType == webhookTest {
		data, err := encode(testData{e.ID, testMessage})
		return events.Envelope{Type: webhookTest, Subject: e.ID, AggregateVersion: e.Version, Data: data}, err
	}
	err := checkEventPattern(eventType)
	if err == nil && strings.HasSuffix(eventType, "*") {
		err = errors.New("must be one type of events")
	}
	if err != nil {
		return events.Envelope{}, invalid(Fault{"/event_type", err.Error()})
	}
	sample, err := events.Sample(eventType)
	if err != nil {
		return events.Envelope{}, err
	}
	return events.Envelope{Type: eventType, Subject: sample.Subject, AggregateVersion: sample.AggregateVersion,
		Data: append([]byte(`{"sample":true,`), sample.Data[1:]...)}, nil
}

// deliverNow answers with a delivery that is to be made ahead of all others, and says so in the transaction that has
// written it.
func (s *Server) deliverNow(ctx context.Context, write func(pgx.Tx, *exchange) (store.ListedDelivery, error)) (*created[deliveryView], error) {
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		d, err := write(tx, exchangeOf(ctx))
		if err != nil {
			return answer{}, nil, err
		}
		body, err := encode(deliveryViewOf(d))
		fact := events.WebhookDeliveryRequested{DeliveryID: d.ID, Run: d.Run}
		if d.EndpointID != nil {
			fact.EndpointID = *d.EndpointID
		}
		return answer{status: http.StatusAccepted, body: body, headers: answerHeaders{Location: deliveryPath(d)}}, []events.Fact{fact}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[deliveryView](a), nil
}

// replayDelivery makes a delivery again, with the same webhook-id: one that has ended, or one that waits for its next
// attempt, which is made now.
func (s *Server) replayDelivery(ctx context.Context, in *deliveryInput) (*created[deliveryView], error) {
	endpointID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	return s.deliverNow(ctx, func(tx pgx.Tx, x *exchange) (store.ListedDelivery, error) {
		return rerun(ctx, tx, x.caller.OrganizationID, endpointID, id)
	})
}

// rerun gives a delivery of an organization's endpoint, "" for a callback, a new run.
func rerun(ctx context.Context, tx pgx.Tx, organizationID, endpointID, id string) (store.ListedDelivery, error) {
	d, err := store.LockDelivery(ctx, tx, organizationID, endpointID, id)
	if err != nil {
		return d, err
	}
	if d.Silenced {
		return d, disabledWebhook()
	}
	if d.Status == deliveryPending {
		if w := waitingOf(d, time.Now()); w == nil || w.Reason != waitsForRetry && w.Reason != waitsForPause {
			return d, refuse("delivery_pending", "the delivery is being made, or will be soon")
		}
	}
	return store.RerunDelivery(ctx, tx, d)
}

func disabledWebhook() error {
	return refuse("webhook_disabled", `the endpoint is disabled; enable it first, by PATCH with {"status": "enabled"}`)
}

type replayWebhookInput struct {
	ID   string `path:"id"`
	Body struct {
		Since  time.Time  `json:"since" doc:"At most 30 days ago, as deliveries are kept for that long"`
		Until  *time.Time `json:"until,omitempty" nullable:"true" doc:"Before this moment; left out: now"`
		Failed *bool      `json:"failed,omitempty" nullable:"true" default:"true" doc:"The deliveries made of events since then that failed"`
		Missed bool       `json:"missed,omitempty" nullable:"true" doc:"The events since then of which no delivery was made, as the endpoint was disabled, wasn't there yet or didn't want to hear of them. Those of the last 7 days are known"`
	}
}

type replayView struct {
	EndpointID string    `json:"endpoint_id" format:"uuid"`
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Failed     bool      `json:"failed"`
	Missed     bool      `json:"missed"`
}

// keptDeliveries is how long deliveries are kept after their end.
const keptDeliveries = 30 * 24 * time.Hour

// replayWebhook makes what an endpoint missed of a time again, with the same webhook-ids, a few at a time.
func (s *Server) replayWebhook(ctx context.Context, in *replayWebhookInput) (*created[replayView], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	view, err := in.check(id, time.Now())
	if err != nil {
		return nil, err
	}
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		e, err := store.LockWebhookEndpoint(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id)
		if err == nil && e.Status == store.WebhookDisabled {
			err = disabledWebhook()
		}
		if err != nil {
			return answer{}, nil, err
		}
		body, err := encode(view)
		return answer{status: http.StatusAccepted, body: body, headers: answerHeaders{Location: webhookPath(id) + "/deliveries"}},
			[]events.Fact{events.WebhookReplayRequested{EndpointID: id, Since: view.Since, Until: view.Until,
				Failed: view.Failed, Missed: view.Missed, Version: e.Version}}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[replayView](a), nil
}

func (in *replayWebhookInput) check(id string, now time.Time) (replayView, error) {
	v := replayView{EndpointID: id, Since: in.Body.Since.UTC().Truncate(time.Microsecond), Until: now.UTC().Truncate(time.Microsecond),
		Failed: in.Body.Failed == nil || *in.Body.Failed, Missed: in.Body.Missed}
	var faults []Fault
	if until := in.Body.Until; until != nil {
		if v.Until = until.UTC().Truncate(time.Microsecond); v.Until.After(now) {
			faults = append(faults, Fault{"/until", "is in the future"})
		}
	}
	switch {
	case v.Since.Before(now.Add(-keptDeliveries)):
		faults = append(faults, Fault{"/since", "is more than 30 days ago; deliveries are kept for that long"})
	case !v.Since.Before(v.Until):
		faults = append(faults, Fault{"/since", "must be before until, which is now unless given"})
	}
	if !v.Failed && !v.Missed {
		faults = append(faults, Fault{"/failed", "must be true where missed isn't: there would be nothing to replay"})
	}
	if len(faults) > 0 {
		return v, invalid(faults...)
	}
	return v, nil
}
