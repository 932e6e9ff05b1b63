package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Statuses of deliveries.
const (
	DeliveryPending   = "pending"
	DeliverySucceeded = "succeeded"
	DeliveryFailed    = "failed"
)

// A DeliveryAttempt is a try at a delivery, and what becomes of the delivery.
type DeliveryAttempt struct {
	DeliveryKey
	Run             int
	Attempt         int // of the run, as it was read when the try began
	StartedAt       time.Time
	Latency         time.Duration
	Address         string // that was connected to; "": none was
	StatusCode      int    // 0: there was no answer
	Code            string // "": it succeeded
	Detail          string
	RequestHeaders  json.RawMessage
	ResponseHeaders json.RawMessage // nil: there was no answer
	ResponseBody    []byte
	Status          string        // of the delivery from now on
	Next            time.Duration // until the next try of one that is pending
}

// Each of the next two is a statement for one row, of which a batch has many: the plan of one for many rows is made when
// the tables are new and small, and reads all of them until somebody analyzes them.
//
// A try of a worker that was taken for dead comes late: it undoes nothing that a later one has written. But what was
// received was received.
const settleDelivery = `
UPDATE webhook_deliveries
SET status = $5, attempts = greatest(attempts, $4), admitted = $5 = 'pending',
    next_attempt_at = CASE WHEN $5 = 'pending' THEN now() + $6::interval END, status_code = nullif($7::int, 0),
    error_code = nullif($8::text, ''), error = nullif($9::text, ''), finished_at = CASE WHEN $5 <> 'pending' THEN now() END,
    updated_at = now()
WHERE organization_id = $1 AND id = $2 AND run = $3
  AND CASE WHEN $5 = 'succeeded' THEN status = 'pending' OR error_code IN ('endpoint_disabled', 'endpoint_deleted')
           ELSE status = 'pending' AND attempts = $4 - 1 END`

const insertAttempt = `
INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, address, status_code,
                              error_code, error, request_headers, response_headers, response_body)
SELECT d.organization_id, d.id, $3,
       coalesce((SELECT max(a.attempt) FROM webhook_attempts a
                 WHERE a.organization_id = $1 AND a.delivery_id = $2 AND a.run = $3), 0) + 1,
       $4::timestamptz, $5::bigint, nullif($6::text, ''), nullif($7::int, 0), nullif($8::text, ''), nullif($9::text, ''),
       $10::jsonb, $11::jsonb, $12::bytea
FROM webhook_deliveries d WHERE d.organization_id = $1 AND d.id = $2
  AND NOT EXISTS (SELECT FROM webhook_attempts a
                  WHERE a.organization_id = $1 AND a.delivery_id = $2 AND a.run = $3 AND a.started_at = $4)
ON CONFLICT DO NOTHING`

// SettleDeliveries writes tries down in the caller's transaction, and what they make of their deliveries; a try that is
// written down already, as the answer to its commit was lost, is not again. It says of each whether it decided about its
// delivery: a later try, another run or an end may have been before.
func SettleDeliveries(ctx context.Context, tx pgx.Tx, list []DeliveryAttempt) (decided []bool, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	decided = make([]bool, len(list))
	b := &pgx.Batch{}
	for _, i := range inOrder(list) {
		a := list[i]
		b.Queue(settleDelivery, a.OrganizationID, a.DeliveryID, a.Run, a.Attempt, a.Status, a.Next, a.StatusCode, a.Code, a.Detail).
			Exec(func(tag pgconn.CommandTag) error {
				decided[i] = tag.RowsAffected() > 0
				return nil
			})
	}
	for _, a := range list {
		b.Queue(insertAttempt, a.OrganizationID, a.DeliveryID, a.Run, a.StartedAt, max(0, a.Latency.Milliseconds()), a.Address,
			a.StatusCode, a.Code, a.Detail, string(a.RequestHeaders), textOf(a.ResponseHeaders), a.ResponseBody)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("write down %d attempts, one at delivery %s among them: %w", len(list), list[0].DeliveryID, err)
	}
	return decided, nil
}

// inOrder has the places of tries in the order in which deliveries are locked.
func inOrder(list []DeliveryAttempt) []int {
	places := make([]int, len(list))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(i, j int) int {
		return cmp.Or(cmp.Compare(list[i].OrganizationID, list[j].OrganizationID), cmp.Compare(list[i].DeliveryID, list[j].DeliveryID))
	})
	return places
}

func textOf(j json.RawMessage) *string {
	if j == nil {
		return nil
	}
	s := string(j)
	return &s
}
