package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Why a delivery was given up without an attempt.
const (
	EndpointDisabled = "endpoint_disabled"
	EndpointDeleted  = "endpoint_deleted"
	DeliveryExpired  = "expired"
)

// A GivenUp is a delivery that is over without an attempt, and why.
type GivenUp struct {
	DeliveryKey
	LaneID       string
	Run          int
	Code, Detail string
	Within       time.Duration // a run is over then
}

// giveUpMost bounds how many rows end with one that is over; the lane's next one ends more.
const giveUpMost = 1000

// It is looked at anew, as an endpoint may have been enabled meanwhile.
const isOver = `
CASE $5 WHEN 'expired' THEN d.begun_at < now() - $7::interval
     ELSE d.endpoint_id IS NOT NULL AND NOT EXISTS (
         SELECT FROM webhook_endpoints e WHERE e.organization_id = d.organization_id AND e.id = d.endpoint_id
         AND e.deleted_at IS NULL AND (e.status = 'enabled' OR d.purpose = 'test')) END`

const givingUp = `
UPDATE webhook_deliveries d
SET status = 'failed', error_code = $5, error = $6, admitted = false, next_attempt_at = NULL, finished_at = now(), updated_at = now()`

const giveUpDelivery = givingUp + `
WHERE d.organization_id = $1 AND d.lane_id = $2 AND d.id = $3 AND d.run = $4 AND d.status = 'pending' AND ` + isOver

const giveUpWaiting = givingUp + `
FROM (SELECT w.id FROM webhook_deliveries w
      WHERE w.organization_id = $1 AND w.lane_id = $2 AND w.status = 'pending' AND NOT w.admitted AND w.id <> $3
      ORDER BY w.id LIMIT $4 FOR UPDATE SKIP LOCKED) AS waiting
WHERE d.organization_id = $1 AND d.id = waiting.id AND ` + isOver

// GiveUpDelivery ends a delivery without an attempt, in the caller's transaction, and with it what waits in its lane
// and is over for the same reason. It is false where the reason does not hold any more.
func GiveUpDelivery(ctx context.Context, tx pgx.Tx, g GivenUp) (bool, error) {
	tag, err := tx.Exec(ctx, giveUpDelivery, g.OrganizationID, g.LaneID, g.DeliveryID, g.Run, g.Code, g.Detail, g.Within)
	if err == nil && tag.RowsAffected() > 0 {
		_, err = tx.Exec(ctx, giveUpWaiting, g.OrganizationID, g.LaneID, g.DeliveryID, giveUpMost, g.Code, g.Detail, g.Within)
	}
	if err != nil {
		return false, fmt.Errorf("give up delivery %s: %w", g.DeliveryID, err)
	}
	return tag.RowsAffected() > 0, nil
}
