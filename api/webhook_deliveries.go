package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/store"
)

// DeliveryHead is one event for one receiver, and what became of it.
type DeliveryHead struct {
	ID            string           `json:"id" format:"uuid"`
	EndpointID    *string          `json:"endpoint_id" format:"uuid" doc:"null: the callback of a job"`
	JobID         *string          `json:"job_id" format:"uuid" doc:"Whose callback it is"`
	URL           *string          `json:"url" doc:"Of a callback; null: that of the endpoint"`
	EventID       string           `json:"event_id" format:"uuid" doc:"The webhook-id that the receiver sees, the same with every attempt and replay"`
	EventType     string           `json:"event_type"`
	Purpose       string           `json:"purpose" enum:"event,callback,test"`
	Status        string           `json:"status" enum:"pending,succeeded,failed"`
	Run           int              `json:"run" doc:"1, and one more for every replay"`
	BegunAt       time.Time        `json:"begun_at" doc:"The run. Three days after it the delivery is given up"`
	Waiting       *deliveryWaiting `json:"waiting"`
	NextAttemptAt *time.Time       `json:"next_attempt_at" doc:"Not before: of one that is paused when the pause is over, and now of one that is due and waits for its turn or the rate limit; null when the delivery has ended"`
	StatusCode    *int             `json:"status_code" doc:"Of the last answer"`
	Code          *string          `json:"code" doc:"What the last attempt failed of, or why the delivery was given up; null: nothing so far. More values may come"`
	Error         *string          `json:"error" doc:"The same in words"`
	CreatedAt     time.Time        `json:"created_at"`
	FinishedAt    *time.Time       `json:"finished_at"`
	Links         deliveryLinks    `json:"links"`
}

type deliveryLinks struct {
	Self   string `json:"self"`
	Replay string `json:"replay"`
}

// deliveryView is a delivery in a list.
type deliveryView struct {
	DeliveryHead
	Attempts []AttemptLine `json:"attempts" doc:"Of the last run, the oldest first"`
}

// AttemptLine is one try of a delivery as lists show it.
type AttemptLine struct {
	Run        int       `json:"run"`
	Attempt    int       `json:"attempt" doc:"1 for the first of the run"`
	At         time.Time `json:"at"`
	StatusCode *int      `json:"status_code" doc:"null: there was no answer"`
	LatencyMS  int       `json:"latency_ms"`
	Code       *string   `json:"code" doc:"null: it succeeded, which only 2xx does"`
	Error      *string   `json:"error" doc:"The same in words"`
}

// deliveryWaiting says why a delivery is not made now.
type deliveryWaiting struct {
	Reason        string     `json:"reason"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Schema implements huma.SchemaProvider, as huma has no nullable objects of its own.
func (*deliveryWaiting) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: false,
		Description: "What a pending delivery waits for, or null",
		Properties: map[string]*huma.Schema{
			"reason": {Type: huma.TypeString, Enum: []any{waitsForRetry, waitsForPause, waitsForTurn, waitsForRate},
				Description: "retry: the last attempt failed; paused: the receiver failed some times in a row and is left alone for a while; turn: others are ahead; rate_limit: as many were made as the endpoint wants in a minute"},
			"next_attempt_at": {Type: huma.TypeString, Format: "date-time", Nullable: true},
		},
		Required: []string{"reason", "next_attempt_at"},
	}
}

// What a pending delivery may wait for.
const (
	waitsForRetry = "retry"
	waitsForPause = "paused"
	waitsForTurn  = "turn"
	waitsForRate  = "rate_limit"
)

const deliveryPending = "pending"

// longestAttempt is more than an attempt takes. Who may go and has not gone for longer is held up.
const longestAttempt = 20 * time.Second

// waitingOf says what a delivery waits for, nil for nothing: it has ended, or is being made. One that was admitted a moment
// ago goes even while its receiver is paused where somebody asked for it, and else is handed back at once.
func waitingOf(d store.ListedDelivery, now time.Time) *deliveryWaiting {
	later := d.NextAttemptAt != nil && d.NextAttemptAt.After(now)
	w := &deliveryWaiting{NextAttemptAt: utc(d.NextAttemptAt)}
	switch {
	case d.Status != deliveryPending:
		return nil
	case later && d.Attempts > 0:
		w.Reason = waitsForRetry
	case d.Admitted && now.Sub(*d.NextAttemptAt) < longestAttempt:
		return nil
	case d.PausedUntil != nil && d.Purpose != store.DeliveryOfTest:
		w.Reason, w.NextAttemptAt = waitsForPause, utc(d.PausedUntil)
	case !d.Admitted:
		w.Reason, w.NextAttemptAt = waitsForTurn, nil
	case d.RateLimit != nil && d.Purpose != store.DeliveryOfTest:
		w.Reason, w.NextAttemptAt = waitsForRate, nil
	default:
		w.Reason, w.NextAttemptAt = waitsForTurn, nil
	}
	return w
}

// nextAttempt is the moment before which there is no attempt: that of the delivery may be long past while it waits. nil: it
// has ended.
func nextAttempt(d store.ListedDelivery, w *deliveryWaiting, now time.Time) *time.Time {
	if d.NextAttemptAt == nil || w == nil {
		return utc(d.NextAttemptAt)
	}
	next := *d.NextAttemptAt
	if now.After(next) {
		next = now.Truncate(time.Microsecond)
	}
	if w.NextAttemptAt != nil && w.NextAttemptAt.After(next) {
		next = *w.NextAttemptAt
	}
	return utc(&next)
}

func deliveryHeadOf(d store.ListedDelivery) DeliveryHead {
	self, now := deliveryPath(d), time.Now()
	waiting := waitingOf(d, now)
	return DeliveryHead{
		ID: d.ID, EndpointID: d.EndpointID, JobID: d.JobID, URL: d.URL, EventID: d.EventID, EventType: d.EventType, Purpose: d.Purpose,
		Status: d.Status, Run: d.Run, BegunAt: d.BegunAt.UTC(), Waiting: waiting, NextAttemptAt: nextAttempt(d, waiting, now),
		StatusCode: d.StatusCode, Code: d.ErrorCode, Error: d.Error, CreatedAt: d.CreatedAt.UTC(), FinishedAt: utc(d.FinishedAt),
		Links: deliveryLinks{Self: self, Replay: self + "/replay"},
	}
}

func deliveryPath(d store.ListedDelivery) string {
	if d.EndpointID == nil {
		return "/api/webhooks/callbacks/deliveries/" + d.ID
	}
	return webhookPath(*d.EndpointID) + "/deliveries/" + d.ID
}

func deliveryViewOf(d store.ListedDelivery) deliveryView {
	v := deliveryView{DeliveryHead: deliveryHeadOf(d), Attempts: make([]AttemptLine, len(d.Tries))}
	for i, t := range d.Tries {
		v.Attempts[i] = AttemptLine{Run: t.Run, Attempt: t.Attempt, At: t.At.UTC(), StatusCode: t.StatusCode, LatencyMS: t.LatencyMS,
			Code: t.Code, Error: t.Error}
	}
	return v
}

// deliveryDetail is a delivery with all that is known of it.
type deliveryDetail struct {
	DeliveryHead
	Attempts []attemptDetail `json:"attempts" doc:"Of all runs, the oldest first; the last 100"`
	Event    jsonObject      `json:"event" doc:"As it is sent: a CloudEvents 1.0 event. A callback is sent what came of the job as well; null: it is no longer kept"`
}

type attemptDetail struct {
	AttemptLine
	Address         *string    `json:"address" doc:"That was connected to; null: none was"`
	RequestHeaders  jsonObject `json:"request_headers" doc:"By name, each a list of values. Values that carry credentials are shown as ***, and long ones cut"`
	ResponseHeaders jsonObject `json:"response_headers" doc:"null: there was no answer. Long values are cut, and what is beyond 8 KiB left out"`
	ResponseBody    *string    `json:"response_body" doc:"Its beginning, 4 KiB at most, without what isn't UTF-8; null: there was no answer"`
}

func deliveryDetailOf(d store.DeliveryDetail) deliveryDetail {
	v := deliveryDetail{DeliveryHead: deliveryHeadOf(d.ListedDelivery), Attempts: make([]attemptDetail, len(d.History))}
	if d.Body != nil {
		v.Event = jsonObject(*d.Body)
	}
	for i, a := range d.History {
		v.Attempts[i] = attemptDetail{
			AttemptLine: AttemptLine{Run: a.Run, Attempt: a.Attempt, At: a.StartedAt.UTC(), StatusCode: a.StatusCode, LatencyMS: a.LatencyMS,
				Code: a.ErrorCode, Error: a.Error},
			Address: a.Address, RequestHeaders: jsonObject(a.RequestHeaders), ResponseHeaders: jsonObject(a.ResponseHeaders),
		}
		if a.ResponseHeaders != nil {
			text := strings.ToValidUTF8(string(a.ResponseBody), "\uFFFD")
			v.Attempts[i].ResponseBody = &text
		}
	}
	return v
}

// DeliveryQuery is what lists of deliveries take, of endpoints and of callbacks.
type DeliveryQuery struct {
	PageQuery
	Status        string    `query:"status" enum:"pending,succeeded,failed"`
	EventType     string    `query:"event_type" maxLength:"100" pattern:"^[a-z_]+[.][a-z_]+$"`
	EventID       string    `query:"event_id" format:"uuid"`
	CreatedAfter  time.Time `query:"created_after" doc:"RFC 3339; from this moment on"`
	CreatedBefore time.Time `query:"created_before" doc:"RFC 3339; before this moment"`
}

// page lists what f and the query ask for, as of the list that is called name.
func (q *DeliveryQuery) page(ctx context.Context, s *Server, f store.DeliveryFilter, name string) (page[deliveryView], error) {
	eventID, ok := canonicalID(q.EventID)
	if q.EventID != "" && !ok {
		return page[deliveryView]{}, invalid(Fault{"/query/event_id", "must be the id of an event"})
	}
	filters := []string{name, f.EndpointID, f.JobID, f.Purpose, q.Status, q.EventType, eventID, filterTime(q.CreatedAfter), filterTime(q.CreatedBefore)}
	before, err := parseCursor(q.Cursor, filters...)
	if err != nil {
		return page[deliveryView]{}, err
	}
	f.Status, f.EventType, f.EventID, f.CreatedAfter, f.CreatedBefore = q.Status, q.EventType, eventID, q.CreatedAfter, q.CreatedBefore
	f.Before, f.Limit = before, q.Limit+1
	rows, err := s.DB.Deliveries(ctx, exchangeOf(ctx).caller.OrganizationID, f)
	if err != nil {
		return page[deliveryView]{}, err
	}
	views := make([]deliveryView, len(rows))
	for i, d := range rows {
		views[i] = deliveryViewOf(d)
	}
	return pageOf(views, q.Limit, func(v deliveryView) string { return v.ID }, filters...), nil
}

type deliveriesInput struct {
	ID string `path:"id"`
	DeliveryQuery
	Purpose string `query:"purpose" enum:"event,test"`
}

type deliveriesOutput struct{ Body page[deliveryView] }

// listDeliveries lists the deliveries of an endpoint, newest first. They are kept for 30 days after their end.
func (s *Server) listDeliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	p, err := in.page(ctx, s, store.DeliveryFilter{EndpointID: id, Purpose: in.Purpose}, "deliveries")
	if err != nil {
		return nil, err
	}
	return &deliveriesOutput{p}, nil
}

type deliveryInput struct {
	ID         string `path:"id"`
	DeliveryID string `path:"delivery_id"`
}

func (in *deliveryInput) parse() (endpointID, id string, err error) {
	if endpointID, err = parseID(in.ID); err != nil {
		return "", "", err
	}
	id, err = parseID(in.DeliveryID)
	return endpointID, id, err
}

type deliveryOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         deliveryDetail
}

// getDelivery reads one delivery with what was sent and what came back.
func (s *Server) getDelivery(ctx context.Context, in *deliveryInput) (*deliveryOutput, error) {
	endpointID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	d, err := s.DB.Delivery(ctx, exchangeOf(ctx).caller.OrganizationID, endpointID, id)
	if err != nil {
		return nil, err
	}
	return &deliveryOutput{revalidate, deliveryDetailOf(d)}, nil
}
