package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A QueueSample is what a queue was like at a moment. What waits is counted up to mostSampled.
type QueueSample struct {
	Queue     string    `db:"queue"`
	Available int64     `db:"available"` // due, and not taken yet
	Running   int64     `db:"running"`
	Retryable int64     `db:"retryable"`
	Scheduled int64     `db:"scheduled"`
	OldestMS  *int64    `db:"oldest_ms"` // how long the oldest that is due has waited; nil: none does
	Workers   int       `db:"workers"`
	Places    int       `db:"places"`
	SampledAt time.Time `db:"sampled_at"`
}

// mostSampled ends a count that would take longer than the figure is worth.
const mostSampled = 1_000_000

const claimSample = `
INSERT INTO samplers (name, by, next_at) VALUES ($1, $2, now() + $3::interval)
ON CONFLICT (name) DO UPDATE SET by = excluded.by, began_at = now(), next_at = excluded.next_at
WHERE samplers.next_at <= now()`

// ClaimSample says whether a process is the one that measures something now. It has so long; then another may.
func ClaimSample(ctx context.Context, db Execer, name, by string, atMost time.Duration) (bool, error) {
	tag, err := db.Exec(ctx, claimSample, name, by, atMost)
	if err != nil {
		return false, fmt.Errorf("claim the sample of %s: %w", name, err)
	}
	return tag.RowsAffected() == 1, nil
}

const settleSample = `
UPDATE samplers SET took_ms = $3, next_at = began_at + $4::interval WHERE name = $1 AND by = $2`

// SettleSample notes how long measuring took, and when it is due again after it began.
func SettleSample(ctx context.Context, db Execer, name, by string, took, again time.Duration) error {
	if _, err := db.Exec(ctx, settleSample, name, by, took.Milliseconds(), again); err != nil {
		return fmt.Errorf("settle the sample of %s: %w", name, err)
	}
	return nil
}

// Sampling must not become a load itself, and its statements cost what all rows cost in the planner's eyes.
const boundSampling = `
SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`

// What is due and yet scheduled waits for River's leader, and is as late as what waits for a worker.
const sampleQueues = `
WITH wanted AS (
    SELECT unnest($1::text[]) AS queue UNION SELECT name FROM river_queue
), working AS (
    SELECT key AS queue, count(*)::int AS workers, sum(value::int)::int AS places
    FROM worker_processes, jsonb_each_text(queues) WHERE heartbeat_at > clock_timestamp() - $3::interval GROUP BY key
)
SELECT w.queue,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'available' AND j.queue = w.queue LIMIT $2) x) AS available,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'running' AND j.queue = w.queue LIMIT $2) x) AS running,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'retryable' AND j.queue = w.queue LIMIT $2) x) AS retryable,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'scheduled' AND j.queue = w.queue LIMIT $2) x) AS scheduled,
       (SELECT (1000 * extract(epoch FROM clock_timestamp() - min(first.scheduled_at)))::bigint
        FROM generate_series(1, 4) AS p, unnest('{available,retryable,scheduled}'::river_job_state[]) AS s, LATERAL (
            SELECT j.scheduled_at FROM river_job j
            WHERE j.state = s AND j.queue = w.queue AND j.priority = p AND j.scheduled_at <= clock_timestamp()
            ORDER BY j.scheduled_at LIMIT 1) AS first) AS oldest_ms,
       coalesce(working.workers, 0) AS workers, coalesce(working.places, 0) AS places, now() AS sampled_at
FROM wanted w LEFT JOIN working ON working.queue = w.queue ORDER BY w.queue`

const putQueueState = `
INSERT INTO queue_states (queue, available, running, retryable, scheduled, oldest_ms, workers, places, sampled_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (queue) DO UPDATE SET available = excluded.available, running = excluded.running, retryable = excluded.retryable,
    scheduled = excluded.scheduled, oldest_ms = excluded.oldest_ms, workers = excluded.workers, places = excluded.places,
    sampled_at = excluded.sampled_at`

// A minute in which nothing was due whenever somebody looked has an oldest of 0, as that was seen.
const putQueueSample = `
INSERT INTO queue_minutes AS m (at, queue, samples, available, running, later, oldest_ms, workers, places)
VALUES (date_trunc('minute', $9::timestamptz), $1, 1, $2, $3, $4::bigint + $5::bigint, coalesce($6, 0), $7, $8)
ON CONFLICT (at, queue) DO UPDATE SET samples = m.samples + 1, available = greatest(m.available, excluded.available),
    oldest_ms = greatest(m.oldest_ms, excluded.oldest_ms), running = excluded.running, later = excluded.later,
    workers = excluded.workers, places = excluded.places`

const dropQueueStates = `DELETE FROM queue_states WHERE NOT queue = ANY ($1)`

// SampleQueues looks at the queues named and those that River has, and notes what it saw.
func (db *DB) SampleQueues(ctx context.Context, queues []string, atMost time.Duration) ([]QueueSample, error) {
	var list []QueueSample
	err := db.Tx(ctx, func(tx pgx.Tx) (err error) {
		if _, err = tx.Exec(ctx, boundSampling, fmt.Sprint(atMost.Milliseconds())); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sampleQueues, queues, mostSampled, workerSilence)
		if err != nil {
			return err
		}
		if list, err = pgx.CollectRows(rows, pgx.RowToStructByName[QueueSample]); err != nil {
			return err
		}
		return putQueueSamples(ctx, tx, list)
	})
	if err != nil {
		return nil, fmt.Errorf("sample the queues: %w", err)
	}
	return list, nil
}

func putQueueSamples(ctx context.Context, tx pgx.Tx, list []QueueSample) error {
	b, names := &pgx.Batch{}, make([]string, len(list))
	for i, q := range list {
		names[i] = q.Queue
		args := []any{q.Queue, q.Available, q.Running, q.Retryable, q.Scheduled, q.OldestMS, q.Workers, q.Places, q.SampledAt}
		b.Queue(putQueueState, args...)
		b.Queue(putQueueSample, args...)
	}
	b.Queue(dropQueueStates, names)
	return tx.SendBatch(ctx, b).Close()
}

// QueueWork is what became of a queue's jobs in a minute or an hour. Waits and Runs have the shape in which processes
// count times; nil: there were none.
type QueueWork struct {
	At       time.Time        `db:"at"`
	Queue    string           `db:"queue"`
	Outcomes map[string]int64 `db:"outcomes"` // nil: nobody knows
	Waits    json.RawMessage  `db:"waits"`
	Runs     json.RawMessage  `db:"runs"`
}

// KindWork is the same of a kind.
type KindWork struct {
	At       time.Time        `db:"at"`
	Kind     string           `db:"kind"`
	Queue    string           `db:"queue"`
	Outcomes map[string]int64 `db:"outcomes"`
	Runs     json.RawMessage  `db:"runs"`
}

// What a process counted in the minute and has yet to leave again, after Redis lost it, would be missing: of two
// countings the one that has seen more is right.
const putQueueWork = `
INSERT INTO queue_minutes AS m (at, queue, outcomes, waits, runs) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (at, queue) DO UPDATE SET outcomes = excluded.outcomes, waits = excluded.waits, runs = excluded.runs
WHERE m.outcomes IS NULL OR m.outcomes <> excluded.outcomes AND ` + sumOf + `m.outcomes)) <= ` + sumOf + `excluded.outcomes))`

const sumOf = `(SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(`

const putKindWork = `
INSERT INTO kind_minutes AS m (at, kind, queue, outcomes, runs) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (at, kind) DO UPDATE SET queue = excluded.queue, outcomes = excluded.outcomes, runs = excluded.runs
WHERE m.outcomes <> excluded.outcomes AND ` + sumOf + `m.outcomes)) <= ` + sumOf + `excluded.outcomes))`

// PutWork notes what became of jobs by the minute.
func (db *DB) PutWork(ctx context.Context, queues []QueueWork, kinds []KindWork) error {
	b := &pgx.Batch{}
	for _, q := range queues {
		b.Queue(putQueueWork, q.At, q.Queue, q.Outcomes, q.Waits, q.Runs)
	}
	for _, k := range kinds {
		b.Queue(putKindWork, k.At, k.Kind, k.Queue, k.Outcomes, k.Runs)
	}
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("note what became of jobs: %w", err)
	}
	return nil
}

const selectLastWork = `SELECT at FROM queue_minutes WHERE outcomes IS NOT NULL AND at > now() - interval '2 hours' ORDER BY at DESC LIMIT 1`

// LastWork is the last minute of which is known what became of jobs; the zero time: there is none lately.
func (db *DB) LastWork(ctx context.Context) (at time.Time, err error) {
	err = db.pool.QueryRow(ctx, selectLastWork).Scan(&at)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return at, fmt.Errorf("look for the last minute: %w", err)
	}
	return at, nil
}
