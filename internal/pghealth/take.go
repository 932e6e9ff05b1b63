package pghealth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// weeksAhead get their partition before they come.
	weeksAhead = 1
	keptRaw    = 30 * 24 * time.Hour
	keptDays   = 400 * 24 * time.Hour
)

// A Taken is a sample that was written down.
type Taken struct {
	ID      string
	At      time.Time
	Indexes int
	Took    time.Duration // of the reading and writing of counters, by the server's clock
	// Behind says that old samples could not be dropped, as somebody was reading them. The next sample tries again.
	Behind bool
}

const makePartitions = `SELECT index_samples_make_partitions($1)`

const insertIndexSamples = `
INSERT INTO index_samples (taken_at, index_oid, definition, table_oid, scans, tuples_read, tuples_fetched, blocks_hit, blocks_read,
    last_scan_at, size_bytes)
SELECT $2::timestamptz, c.oid, ` + definitionHash + `, t.oid,
       pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), pg_stat_get_tuples_fetched(c.oid),
       pg_stat_get_blocks_hit(c.oid), pg_stat_get_blocks_fetched(c.oid) - pg_stat_get_blocks_hit(c.oid), %s,
       ` + sizeOf + watched + ` WHERE c.relkind = 'i'`

const insertTableSamples = `
INSERT INTO table_samples (taken_at, table_oid, seq_scans, seq_tuples_read, index_scans, inserted, updated, deleted, live_rows, size_bytes)
SELECT $2::timestamptz, c.oid, pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), coalesce(s.scans, 0),
       pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid),
       pg_stat_get_live_tuples(c.oid), ` + sizeOf + `
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
LEFT JOIN (SELECT table_oid, sum(scans)::bigint AS scans FROM index_samples WHERE taken_at = $2 GROUP BY 1) AS s ON s.table_oid = c.oid
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'`

const insertRun = `
INSERT INTO index_sample_runs (id, taken_at, system_identifier, database_oid, stats_reset_at, server_started_at, server_version,
    indexes, index_scans, blocks_hit, blocks_read, took_us)
SELECT $1, $2, (SELECT system_identifier FROM pg_control_system()), d.datid,
       greatest(d.stats_reset, (SELECT stats_reset FROM pg_stat_wal)), pg_postmaster_start_time(),
       current_setting('server_version_num')::integer, count(s.index_oid), coalesce(sum(s.scans), 0), d.blks_hit, d.blks_read,
       extract(epoch FROM clock_timestamp() - $3::timestamptz) * 1000000
FROM pg_stat_database d LEFT JOIN index_samples s ON s.taken_at = $2
WHERE d.datname = current_database()
GROUP BY d.datid, d.stats_reset, d.blks_hit, d.blks_read
RETURNING indexes, took_us`

// Take writes the counters of all indexes and tables down under the given id, and keeps the samples' house: it makes
// partitions ahead, adds days that are over up, and drops what is old. The number of statements is the same however
// many indexes there are.
func Take(ctx context.Context, tx pgx.Tx, id string) (Taken, error) {
	t := Taken{ID: id}
	major, err := versionOf(tx)
	if err != nil {
		return t, err
	}
	if _, err := tx.Exec(ctx, makePartitions, weeksAhead); err != nil {
		return t, fmt.Errorf("make partitions for samples: %w", err)
	}
	if _, err := unlessLocked(ctx, tx, func(tx pgx.Tx, exact bool) error { return t.take(ctx, tx, major, exact) }); err != nil {
		return t, fmt.Errorf("take a sample of the indexes: %w", err)
	}
	if err := rollUp(ctx, tx, t.At); err != nil {
		return t, err
	}
	t.Behind, err = forget(ctx, tx, t.At)
	return t, err
}

const startOfSample = `SELECT clock_timestamp()`

func (t *Taken) take(ctx context.Context, tx pgx.Tx, major int, exact bool) error {
	if err := tx.QueryRow(ctx, startOfSample).Scan(&t.At); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(columnsOf(insertIndexSamples, major), exact, t.At)
	b.Queue(insertTableSamples, exact, t.At)
	b.Queue(insertRun, t.ID, t.At, t.At).QueryRow(func(row pgx.Row) error {
		var us int64
		err := row.Scan(&t.Indexes, &us)
		t.Took = time.Duration(us) * time.Microsecond
		return err
	})
	return tx.SendBatch(ctx, b).Close()
}

const noteFindings = `UPDATE index_sample_runs SET findings = $2 WHERE id = $1`

// NoteFindings adds to a sample what was found when it was taken.
func NoteFindings(ctx context.Context, tx pgx.Tx, id string, counts map[string]int) error {
	if _, err := tx.Exec(ctx, noteFindings, id, counts); err != nil {
		return fmt.Errorf("note the findings of sample %s: %w", id, err)
	}
	return nil
}

// Days that are over are added up once, from the last sample of the day before on. A counter that fell began anew, as
// did one of an index that wasn't there before; what the very first sample shows is of before.
const rollUpDays = `
WITH bounds AS (
    SELECT coalesce((SELECT max(day) + 1 FROM index_sample_days), (SELECT min(taken_at AT TIME ZONE 'UTC')::date FROM index_sample_runs)) AS first,
           ($1::timestamptz AT TIME ZONE 'UTC')::date AS until
), stepped AS (
    SELECT s.*, (s.taken_at AT TIME ZONE 'UTC')::date AS day,
           lag(s.scans) OVER w AS scans0, lag(s.tuples_read) OVER w AS tuples_read0,
           lag(s.blocks_hit) OVER w AS blocks_hit0, lag(s.blocks_read) OVER w AS blocks_read0
    FROM bounds, index_samples s
    WHERE bounds.first < bounds.until
      AND s.taken_at >= (bounds.first - 1)::timestamp AT TIME ZONE 'UTC' AND s.taken_at < bounds.until::timestamp AT TIME ZONE 'UTC'
    WINDOW w AS (PARTITION BY s.definition ORDER BY s.taken_at)
)
INSERT INTO index_sample_days (day, definition, index_name, scans, tuples_read, blocks_hit, blocks_read, size_bytes, samples)
SELECT day, definition, coalesce(max(n.nspname || '.' || c.relname), 'oid ' || max(index_oid::bigint)),
       sum(CASE WHEN scans >= scans0 THEN scans - scans0 WHEN taken_at > (SELECT min(taken_at) FROM stepped) THEN scans ELSE 0 END),
       sum(CASE WHEN tuples_read >= tuples_read0 THEN tuples_read - tuples_read0 WHEN taken_at > (SELECT min(taken_at) FROM stepped) THEN tuples_read ELSE 0 END),
       sum(CASE WHEN blocks_hit >= blocks_hit0 THEN blocks_hit - blocks_hit0 WHEN taken_at > (SELECT min(taken_at) FROM stepped) THEN blocks_hit ELSE 0 END),
       sum(CASE WHEN blocks_read >= blocks_read0 THEN blocks_read - blocks_read0 WHEN taken_at > (SELECT min(taken_at) FROM stepped) THEN blocks_read ELSE 0 END),
       (array_agg(size_bytes ORDER BY taken_at DESC))[1], count(*)
FROM stepped
LEFT JOIN pg_class c ON c.oid = index_oid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE day >= (SELECT first FROM bounds)
GROUP BY day, definition
ON CONFLICT (day, definition) DO NOTHING`

func rollUp(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if _, err := tx.Exec(ctx, rollUpDays, now); err != nil {
		return fmt.Errorf("add up what indexes did by day: %w", err)
	}
	return nil
}

const (
	dropPartitions = `SELECT index_samples_drop_partitions($1)`
	deleteRuns     = `DELETE FROM index_sample_runs WHERE taken_at < $1`
	deleteDays     = `DELETE FROM index_sample_days WHERE day < $1::timestamptz::date`
)

// forget drops what is old. A backup that reads the samples keeps their partitions for now.
func forget(ctx context.Context, tx pgx.Tx, now time.Time) (behind bool, err error) {
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, dropPartitions, now.Add(-keptRaw))
		return err
	})
	var pg *pgconn.PgError
	if behind = errors.As(err, &pg) && pg.Code == lockTimeout; err != nil && !behind {
		return false, fmt.Errorf("drop old samples: %w", err)
	}
	b := &pgx.Batch{}
	b.Queue(deleteRuns, now.Add(-keptRaw))
	b.Queue(deleteDays, now.Add(-keptDays))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return behind, fmt.Errorf("delete old samples: %w", err)
	}
	return behind, nil
}
