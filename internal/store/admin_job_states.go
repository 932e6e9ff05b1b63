package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A StateCount is how many jobs of a kind are in a state, requested and internal ones together.
type StateCount struct {
	Status string `db:"status"`
	Kind   string `db:"kind"`
	Queue  string `db:"queue"`
	Count  int64  `db:"count"`
}

// StateCounts are numbers of jobs. Each is of so many rows at most; those that were cut off there are More.
type StateCounts struct {
	Unfinished     []StateCount
	UnfinishedMore bool
	Failed         int64
	FailedMore     bool
	Cancelled      int64
	CancelledMore  bool
	// Succeeded is what was counted at SampledAt; where that is nil, an estimate: what the table has by Postgres's
	// statistics, without all others.
	Succeeded int64
	SampledAt *time.Time
}

const (
	countUnfinished = `
SELECT status, kind, queue, count(*) FROM (
    (SELECT ` + statusShown + ` AS status, kind, queue FROM jobs WHERE finished_at IS NULL ORDER BY jobs.id DESC LIMIT $1)
    UNION ALL
    (SELECT ` + riverStatusShown + `, kind, queue FROM river_job
     WHERE NOT (args ? 'job_id') AND state <> 'completed' AND finalized_at IS NULL ORDER BY river_job.id DESC LIMIT $1)
) AS unfinished GROUP BY 1, 2, 3`
	countFailed    = `SELECT count(*) FROM (SELECT FROM jobs WHERE error IS NOT NULL ORDER BY id DESC LIMIT $1) AS failed`
	countCancelled = `
SELECT count(*) FROM (SELECT FROM jobs WHERE finished_at IS NOT NULL AND output IS NULL AND error IS NULL ORDER BY id DESC LIMIT $1) AS cancelled`
	countInternalEnded = `
SELECT count(*) FILTER (WHERE state = 'discarded'), count(*) FILTER (WHERE state = 'cancelled')
FROM (SELECT state FROM river_job
      WHERE NOT (args ? 'job_id') AND state <> 'completed' AND finalized_at IS NOT NULL ORDER BY river_job.id DESC LIMIT $1) AS ended`
	countSucceeded = `SELECT coalesce(sum(n), 0)::bigint, min(sampled_at) FROM job_counts WHERE status = 'succeeded'`
	estimateJobs   = `SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'jobs'::regclass`
)

// CountStates counts what indexes can count, and estimates the rest.
func CountStates(ctx context.Context, tx pgx.Tx, most int64) (StateCounts, error) {
	var c StateCounts
	var discarded, cancelled, all int64
	b := &pgx.Batch{}
	b.Queue(countUnfinished, most).Query(func(rows pgx.Rows) (err error) {
		c.Unfinished, err = pgx.CollectRows(rows, pgx.RowToStructByName[StateCount])
		return err
	})
	b.Queue(countFailed, most).QueryRow(func(row pgx.Row) error { return row.Scan(&c.Failed) })
	b.Queue(countCancelled, most).QueryRow(func(row pgx.Row) error { return row.Scan(&c.Cancelled) })
	b.Queue(countInternalEnded, most).QueryRow(func(row pgx.Row) error { return row.Scan(&discarded, &cancelled) })
	b.Queue(countSucceeded).QueryRow(func(row pgx.Row) error { return row.Scan(&c.Succeeded, &c.SampledAt) })
	b.Queue(estimateJobs).QueryRow(func(row pgx.Row) error { return row.Scan(&all) })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return c, fmt.Errorf("count jobs: %w", err)
	}
	var unfinished int64
	for _, n := range c.Unfinished {
		unfinished += n.Count
	}
	if c.SampledAt == nil {
		c.Succeeded = max(all-unfinished-c.Failed-c.Cancelled, 0)
	}
	c.UnfinishedMore, c.FailedMore, c.CancelledMore = unfinished >= most, c.Failed >= most, c.Cancelled >= most
	c.Failed, c.Cancelled = c.Failed+discarded, c.Cancelled+cancelled
	return c, nil
}
