package store

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A Lane is all that goes to one receiver.
type Lane struct {
	OrganizationID string
	ID             string // of the endpoint, or that of CallbackLane
}

// CallbackLane is the lane of an organization's callbacks to one origin, such as https://example.com. Its id is made of
// both (a UUID of version 8, RFC 9562), so that nobody needs to look for it.
func CallbackLane(organizationID, origin string) Lane {
	sum := sha256.Sum256([]byte(organizationID + "\x00" + origin))
	id := uuid.UUID(sum[:16])
	id[6] = 8<<4 | id[6]&0x0f
	id[8] = 2<<6 | id[8]&0x3f
	return Lane{organizationID, id.String()}
}

// A Turn is a delivery that may be made now: it is to become a job of River's.
type Turn struct {
	OrganizationID string `db:"organization_id"`
	DeliveryID     string `db:"id"`
	Run            int    `db:"run"`
	// Beyond says that the organization has as many deliveries under way as have their fair place in the queue.
	Beyond bool `db:"beyond"`
}

// A lane that has failed lets one go ahead after its pause, and one that works as many as it has proved to take, up to
// ten. Inside are those that are due; what waits for its next attempt holds no place. Two that look at the same moment
// may admit a few more between them, but never the same. Lanes are named within a SELECT, as Postgres would otherwise plan
// anew for each number of them, which takes longer than the rest.
const admitDeliveries = `
WITH lanes AS (
    SELECT asked.organization_id, asked.id,
           CASE WHEN l.paused_until > now() THEN 0
                WHEN l.failures >= 5 THEN 1
                ELSE least(10, 2 + coalesce(l.successes, 0)) END - inside.deliveries AS room
    FROM (SELECT DISTINCT organization_id, id FROM unnest((SELECT $1::uuid[]), (SELECT $2::uuid[])) AS given (organization_id, id)) AS asked
    LEFT JOIN webhook_lanes l USING (organization_id, id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS deliveries FROM (
            SELECT FROM webhook_deliveries d
            WHERE d.organization_id = asked.organization_id AND d.lane_id = asked.id AND d.status = 'pending' AND d.admitted
              AND d.next_attempt_at <= now()
            LIMIT 10) AS due) AS inside
    WHERE l.origin IS NOT NULL OR EXISTS (
        SELECT FROM webhook_endpoints e
        WHERE e.organization_id = asked.organization_id AND e.id = asked.id AND e.status = 'enabled' AND e.deleted_at IS NULL)
), next AS (
    SELECT waiting.organization_id, waiting.id, row_number() OVER (PARTITION BY waiting.organization_id ORDER BY waiting.id) AS n
    FROM lanes CROSS JOIN LATERAL (
        SELECT d.organization_id, d.id FROM webhook_deliveries d
        WHERE d.organization_id = lanes.organization_id AND d.lane_id = lanes.id AND d.status = 'pending' AND NOT d.admitted
        ORDER BY d.id LIMIT lanes.room
        FOR UPDATE SKIP LOCKED) AS waiting
    WHERE lanes.room > 0
), shares AS (
    SELECT organization_id, (
        SELECT count(*) FROM (
            SELECT FROM webhook_deliveries d
            WHERE d.organization_id = o.organization_id AND d.status = 'pending' AND d.admitted AND d.next_attempt_at <= now()
            LIMIT (SELECT $3::integer)) AS due) AS taken
    FROM (SELECT DISTINCT organization_id FROM next) AS o
), admitted AS (
    UPDATE webhook_deliveries d SET admitted = true, next_attempt_at = now(), updated_at = now()
    FROM next WHERE d.organization_id = next.organization_id AND d.id = next.id
    RETURNING d.organization_id, d.id, d.run, next.n
)
SELECT organization_id::text, admitted.id::text, run, taken + n > $3 AS beyond
FROM admitted JOIN shares USING (organization_id)
ORDER BY admitted.id`

// QueueAdmission adds to a batch that lanes admit who is next, the oldest first, into the places that are free. Of an
// organization's deliveries under way, share have their fair place in the queue.
func QueueAdmission(b *pgx.Batch, lanes []Lane, share int, turns *[]Turn) {
	b.Queue(admitDeliveries, of(lanes, func(l Lane) string { return l.OrganizationID }), of(lanes, func(l Lane) string { return l.ID }), share).
		Query(func(rows pgx.Rows) (err error) {
			if *turns, err = pgx.CollectRows(rows, pgx.RowToStructByName[Turn]); err != nil {
				return fmt.Errorf("admit deliveries: %w", err)
			}
			return nil
		})
}

// AdmitDeliveries is QueueAdmission in a round trip of its own.
func AdmitDeliveries(ctx context.Context, tx pgx.Tx, lanes []Lane, share int) (turns []Turn, err error) {
	if len(lanes) == 0 {
		return nil, nil
	}
	b := &pgx.Batch{}
	QueueAdmission(b, lanes, share, &turns)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	return turns, nil
}
