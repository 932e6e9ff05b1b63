package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A WebhookEvent is a fact that somebody listens to, as it is sent.
type WebhookEvent struct {
	OrganizationID string
	ID             string
	Type           string
	Body           string // a CloudEvents 1.0 event, structured JSON
}

// A NewDelivery is one event for one receiver.
type NewDelivery struct {
	Lane
	ID         string
	EndpointID *string // nil: a callback, and then the next three are given
	JobID      *string
	URL        *string
	Origin     *string // of the URL
	EventID    string
	EventType  string
	Purpose    string
}

// One that was not used for long may be about to be cleaned up. Others are not locked: whoever ends attempts in them would
// have to wait.
const touchLanes = `
UPDATE webhook_lanes l SET updated_at = now()
FROM (SELECT DISTINCT organization_id, id FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
      ORDER BY organization_id, id) AS given
CROSS JOIN LATERAL (
    SELECT u.organization_id, u.id FROM webhook_lanes u
    WHERE u.organization_id = given.organization_id AND u.id = given.id AND u.updated_at < now() - interval '1 day'
    FOR NO KEY UPDATE) AS old
WHERE l.organization_id = old.organization_id AND l.id = old.id`

const insertLanes = `
INSERT INTO webhook_lanes (organization_id, id, origin)
SELECT DISTINCT organization_id, id, origin FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given (organization_id, id, origin)
ORDER BY organization_id, id
ON CONFLICT (organization_id, id) DO NOTHING`

const insertWebhookEvents = `
INSERT INTO webhook_events (organization_id, id, type, body)
SELECT organization_id, id, type, body
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY AS given (organization_id, id, type, body, n) ORDER BY n
ON CONFLICT DO NOTHING`

// One that is there already is not even tried: the insert would wait for whoever ends an attempt at it, and it may wait for
// a lane.
const insertDeliveries = `
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, job_id, url, event_id, event_type, purpose)
SELECT organization_id, id, lane_id, endpoint_id, job_id, url, event_id, event_type, purpose
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::text[]) WITH ORDINALITY
    AS given (organization_id, id, lane_id, endpoint_id, job_id, url, event_id, event_type, purpose, n)
WHERE (SELECT d.id FROM webhook_deliveries d
       WHERE d.organization_id = given.organization_id AND d.event_id = given.event_id AND d.lane_id = given.lane_id) IS NULL
ORDER BY n
ON CONFLICT (organization_id, event_id, lane_id) DO NOTHING`

// A delivery that is under way is left alone, and whoever ends one that moment is not waited for: it may hold others.
const deliverAnew = `
UPDATE webhook_deliveries d
SET status = 'pending', run = d.run + 1, begun_at = now(), attempts = 0, admitted = false, next_attempt_at = now(),
    status_code = NULL, error_code = NULL, error = NULL, finished_at = NULL, updated_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS given (organization_id, event_id, lane_id)
CROSS JOIN LATERAL (
    SELECT o.organization_id, o.id FROM webhook_deliveries o
    WHERE o.organization_id = given.organization_id AND o.event_id = given.event_id AND o.lane_id = given.lane_id
      AND o.status <> 'pending'
    FOR UPDATE SKIP LOCKED) AS over
WHERE d.organization_id = over.organization_id AND d.id = over.id`

// A Repeat says what is done about an event that its receiver was told of before.
type Repeat int

// What there is to choose from.
const (
	TellOnce  Repeat = iota // nothing
	TellAgain               // if that is over, it is delivered anew
)

// QueueDeliveries adds what is to be delivered to a batch: each event once for each lane, in the order given. Lanes are
// made where they are missing. QueueAdmission gives them their turns. made becomes how many wait now that did not.
func QueueDeliveries(b *pgx.Batch, told []WebhookEvent, list []NewDelivery, repeat Repeat, made *int) {
	if len(list) == 0 {
		return
	}
	count := func(tag pgconn.CommandTag) error {
		*made += int(tag.RowsAffected())
		return nil
	}
	*made = 0
	organizations := of(list, func(d NewDelivery) string { return d.OrganizationID })
	lanes, happened := of(list, func(d NewDelivery) string { return d.Lane.ID }), of(list, func(d NewDelivery) string { return d.EventID })
	b.Queue(touchLanes, organizations, lanes)
	b.Queue(insertLanes, organizations, lanes, of(list, func(d NewDelivery) *string { return d.Origin }))
	b.Queue(insertWebhookEvents, of(told, func(e WebhookEvent) string { return e.OrganizationID }),
		of(told, func(e WebhookEvent) string { return e.ID }), of(told, func(e WebhookEvent) string { return e.Type }),
		of(told, func(e WebhookEvent) string { return e.Body }))
	if repeat == TellAgain {
		b.Queue(deliverAnew, organizations, happened, lanes).Exec(count)
	}
	b.Queue(insertDeliveries, organizations, of(list, func(d NewDelivery) string { return d.ID }), lanes,
		of(list, func(d NewDelivery) *string { return d.EndpointID }), of(list, func(d NewDelivery) *string { return d.JobID }),
		of(list, func(d NewDelivery) *string { return d.URL }), happened,
		of(list, func(d NewDelivery) string { return d.EventType }), of(list, func(d NewDelivery) string { return d.Purpose })).Exec(count)
}

const countUnderWay = `
SELECT count(*) FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS given (organization_id, event_id, lane_id)
JOIN webhook_deliveries d USING (organization_id, event_id, lane_id)
WHERE d.status = 'pending'`

// CountUnderWay counts those of some deliveries that have been written down before and are not over.
func CountUnderWay(ctx context.Context, tx pgx.Tx, list []NewDelivery) (n int, err error) {
	err = tx.QueryRow(ctx, countUnderWay, of(list, func(d NewDelivery) string { return d.OrganizationID }),
		of(list, func(d NewDelivery) string { return d.EventID }), of(list, func(d NewDelivery) string { return d.Lane.ID })).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the deliveries under way: %w", err)
	}
	return n, nil
}

// of is one column of a list of rows.
func of[R, V any](list []R, value func(R) V) []V {
	column := make([]V, len(list))
	for i, r := range list {
		column[i] = value(r)
	}
	return column
}
