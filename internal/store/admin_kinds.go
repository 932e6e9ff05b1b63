package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Kinds are found one after the other in the index, however many rows each has.
const selectRiverKinds = `
WITH RECURSIVE one AS (
    (SELECT kind FROM river_job ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT j.kind FROM river_job j WHERE j.kind > one.kind ORDER BY j.kind LIMIT 1) FROM one WHERE one.kind IS NOT NULL
)
SELECT kind FROM one WHERE kind IS NOT NULL`

// RiverKinds lists the kinds of which River has rows.
func RiverKinds(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, selectRiverKinds)
	if err != nil {
		return nil, fmt.Errorf("list the kinds of jobs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the kinds of jobs: %w", err)
	}
	return list, nil
}

const mostOrphans = 1000

const countUnended = `
SELECT k, (SELECT count(*) FROM (
    SELECT FROM river_job j WHERE j.kind = k AND j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled') LIMIT $2) x)
FROM unnest($1::text[]) AS k`

// Unended counts what has not ended of some kinds, mostOrphans of each at most.
func Unended(ctx context.Context, tx pgx.Tx, kinds []string) (map[string]int64, error) {
	counts := make(map[string]int64)
	if len(kinds) == 0 {
		return counts, nil
	}
	rows, err := tx.Query(ctx, countUnended, kinds, mostOrphans)
	if err != nil {
		return nil, fmt.Errorf("count jobs that nobody knows: %w", err)
	}
	var kind string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&kind, &n}, func() error { counts[kind] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count jobs that nobody knows: %w", err)
	}
	return counts, nil
}

const selectLastFailures = `
SELECT kind, max(ended_at) FROM (
    SELECT kind, ended_at FROM job_attempts WHERE fingerprint IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT 2000) AS newest
GROUP BY kind`

// LastFailures gives when an attempt of each kind last went wrong, as far as the newest failures tell.
func LastFailures(ctx context.Context, tx pgx.Tx) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, selectLastFailures)
	if err != nil {
		return nil, fmt.Errorf("look for the last failures: %w", err)
	}
	last := make(map[string]time.Time)
	var kind string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&kind, &at}, func() error { last[kind] = at; return nil }); err != nil {
		return nil, fmt.Errorf("look for the last failures: %w", err)
	}
	return last, nil
}
