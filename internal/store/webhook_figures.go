package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostDeliveriesCounted is where the counting of deliveries ends.
const MostDeliveriesCounted = 100_000

// mostReceivers is how many receivers with a backlog are looked at, and mostUnderWay how many deliveries that have had
// their turn: whoever asks every few seconds must not become a load.
const (
	mostReceivers = 1000
	mostUnderWay  = 20_000
)

// WebhookStanding is how deliveries stand at a moment, over all organizations.
type WebhookStanding struct {
	Pending int64 // MostDeliveriesCounted at most
	// OldestPending is how long the oldest of them has been so, an endpoint that doesn't answer being tried for days;
	// nil: none is.
	OldestPending *time.Duration
	// Backlog is how long the next one of a receiver that takes what comes has waited for its turn; 0: none does.
	// Receivers that fail and those with a rate limit of their own wait on purpose.
	Backlog  time.Duration
	Paused   int            // receivers that are left alone for a while
	Failing  int            // receivers that failed often enough to be tried by one delivery at a time
	Disabled map[string]int // endpoints by why they are: owner, gone, failing
	Enabled  int            // endpoints
}

// Each receiver's next delivery is the first of its entries in the index by which turns are given, so the walk goes
// from receiver to receiver and by the rest of each backlog.
const webhookStanding = `
WITH RECURSIVE next AS (
    (SELECT organization_id, lane_id, begun_at, 1 AS n FROM webhook_deliveries
     WHERE status = 'pending' AND NOT admitted ORDER BY organization_id, lane_id, id LIMIT 1)
    UNION ALL
    SELECT d.organization_id, d.lane_id, d.begun_at, next.n + 1 FROM next, LATERAL (
        SELECT organization_id, lane_id, begun_at FROM webhook_deliveries
        WHERE status = 'pending' AND NOT admitted AND (organization_id, lane_id) > (next.organization_id, next.lane_id)
        ORDER BY organization_id, lane_id, id LIMIT 1) AS d
    WHERE next.n < $2
), healthy AS (
    SELECT min(next.begun_at) AS begun_at FROM next
    LEFT JOIN webhook_lanes l ON l.organization_id = next.organization_id AND l.id = next.lane_id
    LEFT JOIN webhook_endpoints e ON e.organization_id = next.organization_id AND e.id = next.lane_id
    WHERE coalesce(l.failures, 0) = 0 AND coalesce(l.paused_until, now()) <= now() AND e.rate_limit IS NULL
), under_way AS (
    SELECT begun_at FROM webhook_deliveries WHERE status = 'pending' AND admitted LIMIT $3
)
SELECT (SELECT count(*) FROM (
           SELECT FROM webhook_deliveries WHERE status = 'pending' AND NOT admitted
           UNION ALL SELECT FROM webhook_deliveries WHERE status = 'pending' AND admitted LIMIT $1) AS counted),
       extract(epoch FROM clock_timestamp() - least((SELECT min(begun_at) FROM next), (SELECT min(begun_at) FROM under_way)))::float8,
       coalesce(extract(epoch FROM clock_timestamp() - (SELECT begun_at FROM healthy)), 0)::float8,
       lanes.*, endpoints.*
FROM (SELECT count(*) FILTER (WHERE paused_until > now()), count(*) FILTER (WHERE failures >= 5) FROM webhook_lanes) AS lanes,
     (SELECT count(*) FILTER (WHERE status = 'enabled'), count(*) FILTER (WHERE disabled_code = 'owner'),
             count(*) FILTER (WHERE disabled_code = 'gone'), count(*) FILTER (WHERE disabled_code = 'failing')
      FROM webhook_endpoints WHERE deleted_at IS NULL) AS endpoints`

// Statistics lag behind a backlog that comes and goes, and a plan by old ones reads all that has ended. For what follows
// in the transaction there are the indexes that hold the rest.
const byIndexes = `SELECT set_config('enable_seqscan', 'off', true)`

func queueWebhookStanding(b *pgx.Batch, s *WebhookStanding) {
	b.Queue(byIndexes)
	b.Queue(webhookStanding, MostDeliveriesCounted, mostReceivers, mostUnderWay).QueryRow(func(row pgx.Row) error {
		var oldest *float64
		var backlog float64
		var owner, gone, failing int
		err := row.Scan(&s.Pending, &oldest, &backlog, &s.Paused, &s.Failing, &s.Enabled, &owner, &gone, &failing)
		s.Disabled = map[string]int{"owner": owner, "gone": gone, "failing": failing}
		s.OldestPending, s.Backlog = lasting(oldest), seconds(backlog)
		return err
	})
}

// WebhookStanding reads how deliveries stand, over all organizations.
func (db *DB) WebhookStanding(ctx context.Context) (WebhookStanding, error) {
	var s WebhookStanding
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(setScrapeTime, fmt.Sprint(scrapeWithin.Milliseconds()))
	queueWebhookStanding(b, &s)
	if err := db.Send(ctx, b); err != nil {
		return s, fmt.Errorf("look at deliveries of webhooks: %w", becoming(System, err))
	}
	return s, nil
}

// WebhookMetrics are what became of deliveries in a window, of all organizations together, for the operator.
type WebhookMetrics struct {
	// Deliveries that ended; MostDeliveriesCounted at most of both together.
	Delivered, Failed int64
	// P95 is below what all but a twentieth of the attempts took, of MostDeliveriesCounted at most; nil: none was made.
	P95 *float64 // milliseconds
}

const selectWebhookMetrics = `
SELECT (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FROM (
            SELECT latency_ms FROM webhook_attempts WHERE created_at >= $1 LIMIT $2) AS lately),
       count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed')
FROM (SELECT status FROM webhook_deliveries WHERE finished_at >= $1 LIMIT $2) AS ended`

// WebhookMetrics reads how deliveries did since a moment, over all organizations.
func (db *DB) WebhookMetrics(ctx context.Context, since time.Time) (WebhookMetrics, error) {
	var m WebhookMetrics
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(setScrapeTime, fmt.Sprint(scrapeWithin.Milliseconds()))
	b.Queue(byIndexes)
	b.Queue(selectWebhookMetrics, since, MostDeliveriesCounted).QueryRow(func(row pgx.Row) error {
		return row.Scan(&m.P95, &m.Delivered, &m.Failed)
	})
	if err := db.Send(ctx, b); err != nil {
		return m, fmt.Errorf("read the figures of webhooks: %w", becoming(System, err))
	}
	return m, nil
}
