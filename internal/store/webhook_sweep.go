package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A WaitingLane is a lane in which deliveries wait for their turn.
type WaitingLane struct {
	Lane
	Over   string // why none of them will be made, a code; "": they will
	Paused bool   // for a while none has its turn
}

// Steps from one lane to the next by index, however many deliveries wait in each.
const waitingLanes = `
WITH RECURSIVE step AS (
    (SELECT organization_id, lane_id, 1 AS n FROM webhook_deliveries
     WHERE status = 'pending' AND NOT admitted AND (organization_id, lane_id) > ($1::uuid, $2::uuid)
     ORDER BY organization_id, lane_id LIMIT 1)
    UNION ALL
    SELECT following.organization_id, following.lane_id, step.n + 1
    FROM step, LATERAL (
        SELECT organization_id, lane_id FROM webhook_deliveries
        WHERE status = 'pending' AND NOT admitted AND (organization_id, lane_id) > (step.organization_id, step.lane_id)
        ORDER BY organization_id, lane_id LIMIT 1) AS following
    WHERE step.n < $3
)
SELECT step.organization_id::text, step.lane_id::text,
       CASE WHEN l.origin IS NOT NULL OR e.status = 'enabled' AND e.deleted_at IS NULL THEN ''
            WHEN e.status = 'disabled' AND e.deleted_at IS NULL THEN 'endpoint_disabled'
            ELSE 'endpoint_deleted' END,
       coalesce(l.paused_until > now(), false)
FROM step
LEFT JOIN webhook_lanes l ON l.organization_id = step.organization_id AND l.id = step.lane_id
LEFT JOIN webhook_endpoints e ON e.organization_id = step.organization_id AND e.id = step.lane_id
ORDER BY step.organization_id, step.lane_id`

// WaitingLanes lists the lanes behind one in which deliveries wait; the zero lane is before them all.
func WaitingLanes(ctx context.Context, tx pgx.Tx, after Lane, limit int) ([]WaitingLane, error) {
	if after == (Lane{}) {
		after = Lane{noID, noID}
	}
	rows, err := tx.Query(ctx, waitingLanes, after.OrganizationID, after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("look for lanes in which deliveries wait: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w WaitingLane, err error) {
		err = row.Scan(&w.OrganizationID, &w.ID, &w.Over, &w.Paused)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for lanes in which deliveries wait: %w", err)
	}
	return list, nil
}

// noID is before all ids.
const noID = "00000000-0000-0000-0000-000000000000"

const (
	endThose = `
UPDATE webhook_deliveries d
SET status = 'failed', error_code = $3, error = $4, admitted = false, next_attempt_at = NULL, finished_at = now(), updated_at = now()
FROM (SELECT lane.organization_id, those.id
      FROM unnest($1::uuid[], $2::uuid[]) AS lane (organization_id, id), LATERAL (
          SELECT w.id FROM webhook_deliveries w
          WHERE w.organization_id = lane.organization_id AND w.lane_id = lane.id AND w.status = 'pending' AND `
	ofTheLanes = `
          LIMIT $5 FOR UPDATE SKIP LOCKED) AS those) AS over
WHERE d.organization_id = over.organization_id AND d.id = over.id`

	endWaiting = endThose + `NOT w.admitted` + ofNobody + ` ORDER BY w.id` + ofTheLanes
	// They are jobs of River's, which find that there is nothing left to do.
	endPutOff = endThose + `w.admitted AND w.next_attempt_at > now()` + ofNobody + ` ORDER BY w.next_attempt_at` + ofTheLanes
	// It is looked at anew, as the endpoint may have been enabled meanwhile.
	ofNobody = `
          AND NOT EXISTS (SELECT FROM webhook_endpoints e
                          WHERE e.organization_id = lane.organization_id AND e.id = lane.id AND e.status = 'enabled' AND e.deleted_at IS NULL)`
	// Ids are in the order of their making, so what was made lately isn't looked at.
	endExpired = endThose + `NOT w.admitted AND w.id < $6 AND w.begun_at < now() - $7::interval ORDER BY w.id` + ofTheLanes
)

// An Ending is why deliveries end without an attempt.
type Ending struct{ Code, Detail string }

// EndWaiting ends what waits for its turn or its next attempt in lanes to which nobody listens, at most so many of each. One
// whose endpoint is enabled by now is left alone.
func EndWaiting(ctx context.Context, tx pgx.Tx, lanes []Lane, why Ending, most int) (int, error) {
	return endDeliveriesOf(ctx, tx, lanes, why, []string{endWaiting, endPutOff}, most)
}

// EndExpired ends what waits in lanes for its turn since so long ago that it is given up, at most so many of each.
func EndExpired(ctx context.Context, tx pgx.Tx, lanes []Lane, why Ending, most int, within time.Duration) (int, error) {
	return endDeliveriesOf(ctx, tx, lanes, why, []string{endExpired}, most, idBefore(time.Now().Add(-within)), within)
}

func endDeliveriesOf(ctx context.Context, tx pgx.Tx, lanes []Lane, why Ending, statements []string, more ...any) (ended int, err error) {
	if len(lanes) == 0 {
		return 0, nil
	}
	args := append([]any{of(lanes, func(l Lane) string { return l.OrganizationID }), of(lanes, func(l Lane) string { return l.ID }),
		why.Code, why.Detail}, more...)
	b := &pgx.Batch{}
	for _, sql := range statements {
		b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
			ended += int(tag.RowsAffected())
			return nil
		})
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return 0, fmt.Errorf("end what waits in %d lanes: %w", len(lanes), err)
	}
	return ended, nil
}

// idBefore is not above the ids (UUIDv7) that are made from a time on.
func idBefore(t time.Time) string {
	var id uuid.UUID
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id.String()
}

// Postgres would look through all of River's jobs for each delivery, as it has no idea how few match. A set is taken from
// a set in one go.
const lostDeliveries = `
SELECT organization_id::text, id::text, run, false AS beyond FROM (
    SELECT organization_id, id, run FROM webhook_deliveries
    WHERE status = 'pending' AND admitted AND next_attempt_at < now() - $1::interval
    EXCEPT
    SELECT (args ->> 'organization_id')::uuid, (args ->> 'delivery_id')::uuid, (args ->> 'run')::integer FROM river_job
    WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') AND queue = $2 AND kind = $3) AS lost
ORDER BY id LIMIT $4`

// LostDeliveries lists, up to a limit, deliveries that have been due for longer than settled, and for which River has no
// job of a kind in a queue: somebody cancelled or deleted it there. What has just come due may be on the way.
func LostDeliveries(ctx context.Context, tx pgx.Tx, settled time.Duration, queue, kind string, limit int) ([]Turn, error) {
	rows, err := tx.Query(ctx, lostDeliveries, settled, queue, kind, limit)
	if err != nil {
		return nil, fmt.Errorf("look for deliveries that are gone from the queue: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Turn])
	if err != nil {
		return nil, fmt.Errorf("look for deliveries that are gone from the queue: %w", err)
	}
	return list, nil
}
