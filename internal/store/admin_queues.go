package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A QueueStanding is a queue as its operator finds it.
type QueueStanding struct {
	QueueSample
	PausedAt *time.Time `db:"paused_at"`
	PausedBy *string    `db:"paused_by"` // name of the key
	AtLeast  bool       `db:"-"`         // a count ended at its bound
}

// A sample that is older is as good as none.
const sampleGood = 30 * time.Second

const selectQueueStates = `
WITH wanted AS (SELECT unnest($1::text[]) AS queue UNION SELECT name FROM river_queue UNION SELECT queue FROM queue_states)
SELECT w.queue, coalesce(s.available, 0) AS available, coalesce(s.running, 0) AS running, coalesce(s.retryable, 0) AS retryable,
       coalesce(s.scheduled, 0) AS scheduled, s.oldest_ms, coalesce(s.workers, 0) AS workers, coalesce(s.places, 0) AS places,
       coalesce(s.sampled_at, '-infinity'::timestamptz) > now() - $2::interval AS good, coalesce(s.sampled_at, now()) AS sampled_at,
       q.paused_at, p.key_name AS paused_by
FROM wanted w LEFT JOIN queue_states s ON s.queue = w.queue LEFT JOIN river_queue q ON q.name = w.queue
LEFT JOIN LATERAL (
    SELECT key_name FROM audit_log a
    WHERE q.paused_at IS NOT NULL AND a.target = 'queue' AND a.target_id IN (w.queue, '*') AND a.action = 'queue.pause'
      AND a.outcome = 'done' AND a.at >= q.paused_at - interval '1 minute'
    ORDER BY a.id LIMIT 1) AS p ON true
ORDER BY w.queue`

// mostLooked ends a count that a page waits for.
const mostLooked = 10_000

// QueueStandings gives the queues named and those that there are. Where nobody has sampled them lately they are counted
// now, and not far.
func QueueStandings(ctx context.Context, tx pgx.Tx, queues []string) ([]QueueStanding, error) {
	rows, err := tx.Query(ctx, selectQueueStates, queues, sampleGood)
	if err != nil {
		return nil, fmt.Errorf("read the state of queues: %w", err)
	}
	type row struct {
		QueueStanding
		Good bool `db:"good"`
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("read the state of queues: %w", err)
	}
	out, names, stale := make([]QueueStanding, len(list)), make([]string, len(list)), false
	for i, r := range list {
		out[i], names[i], stale = r.QueueStanding, r.Queue, stale || !r.Good
		out[i].AtLeast = max(r.Available, r.Running, r.Retryable, r.Scheduled) >= mostSampled
	}
	if !stale {
		return out, nil
	}
	return lookAtQueues(ctx, tx, out, names)
}

func lookAtQueues(ctx context.Context, tx pgx.Tx, list []QueueStanding, names []string) ([]QueueStanding, error) {
	rows, err := tx.Query(ctx, sampleQueues, names, mostLooked, workerSilence)
	if err != nil {
		return nil, fmt.Errorf("look at queues: %w", err)
	}
	now, err := pgx.CollectRows(rows, pgx.RowToStructByName[QueueSample])
	if err != nil {
		return nil, fmt.Errorf("look at queues: %w", err)
	}
	seen := make(map[string]QueueSample, len(now))
	for _, q := range now {
		seen[q.Queue] = q
	}
	for i := range list {
		q := seen[list[i].Queue]
		list[i].QueueSample = q
		list[i].AtLeast = max(q.Available, q.Running, q.Retryable, q.Scheduled) >= mostLooked
	}
	return list, nil
}

const lockQueues = `SELECT name, paused_at FROM river_queue WHERE $1 = '*' OR name = $1 ORDER BY name FOR UPDATE`

// LockQueues locks the queue, or all for "*", and gives since when each is paused; nil: it isn't. A queue that nobody
// has worked lately is not there.
func LockQueues(ctx context.Context, tx pgx.Tx, name string) (map[string]*time.Time, error) {
	rows, err := tx.Query(ctx, lockQueues, name)
	if err != nil {
		return nil, fmt.Errorf("lock queue %s: %w", name, err)
	}
	paused := make(map[string]*time.Time)
	var queue string
	var at *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&queue, &at}, func() error { paused[queue] = at; return nil }); err != nil {
		return nil, fmt.Errorf("lock queue %s: %w", name, err)
	}
	if len(paused) == 0 && name != "*" {
		return nil, ErrNotFound
	}
	return paused, nil
}
