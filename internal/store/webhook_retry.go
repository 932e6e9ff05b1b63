package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// FailedDeliveries are those of an endpoint that were made since a time and before another, and had failed by the time
// at which somebody asked. After is the last one that was dealt with, "" before all.
type FailedDeliveries struct {
	OrganizationID, EndpointID string
	Since, Until, Asked        time.Time
	After                      string
}

// Tests are of the moment. One that somebody has just asked for is left to that.
const retryFailed = `
WITH failed AS (
    SELECT id FROM webhook_deliveries
    WHERE organization_id = $1 AND endpoint_id = $2 AND status = 'failed' AND purpose = 'event' AND id > $6
      AND created_at >= $3 AND created_at < $4 AND finished_at < $5
    ORDER BY id LIMIT $7
    FOR UPDATE SKIP LOCKED
), waiting AS (
    UPDATE webhook_deliveries d
    SET status = 'pending', run = run + 1, begun_at = now(), attempts = 0, admitted = false, next_attempt_at = now(),
        status_code = NULL, error_code = NULL, error = NULL, finished_at = NULL, updated_at = now()
    FROM failed WHERE d.organization_id = $1 AND d.id = failed.id
    RETURNING d.id
)
SELECT coalesce((SELECT id::text FROM waiting ORDER BY waiting.id DESC LIMIT 1), '')`

// RetryFailed has failed deliveries wait for their turn again, the oldest first, and returns the last of them; "" says
// that there were no more.
func RetryFailed(ctx context.Context, tx pgx.Tx, of FailedDeliveries, limit int) (last string, err error) {
	if of.After == "" {
		of.After = noID
	}
	err = tx.QueryRow(ctx, retryFailed, of.OrganizationID, of.EndpointID, of.Since, of.Until, of.Asked, of.After, limit).Scan(&last)
	if err != nil {
		return "", fmt.Errorf("have failed deliveries to endpoint %s wait again: %w", of.EndpointID, err)
	}
	return last, nil
}
