package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DeliveryKey names a delivery.
type DeliveryKey struct{ OrganizationID, DeliveryID string }

// A DeliveryToMake is a delivery with all that an attempt at it needs. Times are by the database's clock, as is Now.
type DeliveryToMake struct {
	OrganizationID string          `db:"organization_id"`
	ID             string          `db:"id"`
	LaneID         string          `db:"lane_id"`
	EndpointID     *string         `db:"endpoint_id"` // nil: a callback
	EventID        string          `db:"event_id"`
	EventType      string          `db:"event_type"`
	Purpose        string          `db:"purpose"` // event, callback or test
	Status         string          `db:"status"`
	Run            int             `db:"run"`
	BegunAt        time.Time       `db:"begun_at"`
	Attempts       int             `db:"attempts"`
	Admitted       bool            `db:"admitted"`
	NextAttemptAt  *time.Time      `db:"next_attempt_at"`
	URL            string          `db:"url"` // empty: its endpoint is gone
	Headers        json.RawMessage `db:"headers"`
	RateLimit      *int            `db:"rate_limit"` // deliveries a minute
	Disabled       bool            `db:"disabled"`   // the endpoint is
	Deleted        bool            `db:"deleted"`    // the endpoint is, or there never was one
	Secrets        []string        `db:"secrets"`    // of the endpoint, the newest first; none of a callback
	Failures       int             `db:"failures"`   // of the lane, in a row
	Successes      int             `db:"successes"`  // of the lane, as far as they widen it
	PausedUntil    *time.Time      `db:"paused_until"`
	Body           *string         `db:"body"` // nil: the event was cleaned up
	Now            time.Time       `db:"now"`
}

const deliveryToMake = `
SELECT d.organization_id::text, d.id::text, d.lane_id::text, d.endpoint_id::text, d.event_id::text, d.event_type, d.purpose,
       d.status, d.run, d.begun_at, d.attempts, d.admitted, d.next_attempt_at,
       coalesce(d.url, e.url, '') AS url, coalesce(e.headers, '{}') AS headers, e.rate_limit,
       coalesce(e.status = 'disabled', false) AS disabled,
       d.endpoint_id IS NOT NULL AND (e.id IS NULL OR e.deleted_at IS NOT NULL) AS deleted,
       array_remove(ARRAY[e.secret, CASE WHEN e.previous_secret_until > now() THEN e.previous_secret END], NULL) AS secrets,
       coalesce(l.failures, 0) AS failures, coalesce(l.successes, 0) AS successes, l.paused_until, v.body, now() AS now
FROM webhook_deliveries d
LEFT JOIN webhook_endpoints e ON e.organization_id = d.organization_id AND e.id = d.endpoint_id
LEFT JOIN webhook_lanes l ON l.organization_id = d.organization_id AND l.id = d.lane_id
LEFT JOIN webhook_events v ON v.organization_id = d.organization_id AND v.id = d.event_id
WHERE d.organization_id = $1 AND d.id = $2`

// DeliveriesToMake reads deliveries and all that attempts at them need, in one round trip. What is not there any more is
// left out.
func (db *DB) DeliveriesToMake(ctx context.Context, keys []DeliveryKey) (map[DeliveryKey]DeliveryToMake, error) {
	found := make(map[DeliveryKey]DeliveryToMake, len(keys))
	b := &pgx.Batch{}
	for _, k := range keys {
		b.Queue(deliveryToMake, k.OrganizationID, k.DeliveryID).Query(func(rows pgx.Rows) error {
			d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[DeliveryToMake])
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			found[k] = d
			return err
		})
	}
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("read %d deliveries, %s among them: %w", len(keys), keys[0].DeliveryID, err)
	}
	return found, nil
}

const handBackDelivery = `
UPDATE webhook_deliveries SET admitted = false, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND run = $3 AND attempts = $4 AND status = 'pending'`

// HandBackDelivery has a delivery wait for its turn as a row again, as those do whose lane is paused: however many they
// are, they cost nothing until then, and go on by their age. One at which another job has made an attempt since is that
// job's, and is left to it.
func (db *DB) HandBackDelivery(ctx context.Context, k DeliveryKey, run, attempts int) error {
	if _, err := db.exec(ctx, handBackDelivery, k.OrganizationID, k.DeliveryID, run, attempts); err != nil {
		return fmt.Errorf("hand back delivery %s: %w", k.DeliveryID, err)
	}
	return nil
}
