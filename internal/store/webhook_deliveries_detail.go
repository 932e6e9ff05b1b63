package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DeliveryDetail is a delivery with all that is known of it.
type DeliveryDetail struct {
	ListedDelivery
	Body    *string        // the event as it is sent; nil: it is no longer kept
	History []ShownAttempt // of all runs, the oldest first
}

// A ShownAttempt is one try of a delivery with what was sent and what came back.
type ShownAttempt struct {
	Run             int             `db:"run"`
	Attempt         int             `db:"attempt"`
	StartedAt       time.Time       `db:"started_at"`
	LatencyMS       int             `db:"latency_ms"`
	Address         *string         `db:"address"`
	StatusCode      *int            `db:"status_code"`
	ErrorCode       *string         `db:"error_code"`
	Error           *string         `db:"error"`
	RequestHeaders  json.RawMessage `db:"request_headers"`
	ResponseHeaders json.RawMessage `db:"response_headers"`
	ResponseBody    []byte          `db:"response_body"`
}

const (
	// With an endpoint, what was delivered to it is gone as well.
	oneDelivery = pageOfDeliveries + `d.organization_id = $1 AND d.id = $2 AND ($3 = '' AND d.job_id IS NOT NULL
    OR d.endpoint_id = (SELECT id FROM webhook_endpoints WHERE organization_id = $1 AND id = nullif($3, '')::uuid AND deleted_at IS NULL))` + aroundDeliveries
	selectWebhookBody = `
SELECT body FROM webhook_events
WHERE organization_id = $1 AND id = (SELECT event_id FROM webhook_deliveries WHERE organization_id = $1 AND id = $2)`
	// Who replays again and again makes many.
	selectAttempts = `
SELECT * FROM (
    SELECT run, attempt, started_at, latency_ms, address, status_code, error_code, error, request_headers, response_headers, response_body
    FROM webhook_attempts WHERE organization_id = $1 AND delivery_id = $2 ORDER BY run DESC, attempt DESC LIMIT 100
) AS newest ORDER BY run, attempt`
)

// Delivery reads a delivery of an endpoint, "" for a callback, with its last 100 attempts, in one round trip.
func (db *DB) Delivery(ctx context.Context, organizationID, endpointID, id string) (DeliveryDetail, error) {
	var d DeliveryDetail
	b := BatchAs(organizationID)
	b.Queue(oneDelivery, organizationID, id, endpointID).Query(oneListedDelivery(&d.ListedDelivery))
	b.Queue(selectWebhookBody, organizationID, id).Query(func(rows pgx.Rows) error {
		bodies, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if len(bodies) > 0 {
			d.Body = &bodies[0]
		}
		return err
	})
	b.Queue(selectAttempts, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		d.History, err = pgx.CollectRows(rows, pgx.RowToStructByName[ShownAttempt])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return d, fmt.Errorf("read webhook delivery %s: %w", id, err)
	}
	return d, nil
}

func oneListedDelivery(d *ListedDelivery) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ListedDelivery])
		return notFound(err)
	}
}

// DeliveryIn reads a delivery of an endpoint, "" for a callback, within a transaction that has changed it.
func DeliveryIn(ctx context.Context, tx pgx.Tx, organizationID, endpointID, id string) (ListedDelivery, error) {
	var d ListedDelivery
	rows, err := tx.Query(ctx, oneDelivery, organizationID, id, endpointID)
	if err == nil {
		err = oneListedDelivery(&d)(rows)
	}
	if err != nil {
		return d, fmt.Errorf("read webhook delivery %s: %w", id, err)
	}
	return d, nil
}
