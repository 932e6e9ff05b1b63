package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A JobCount is how many jobs of a kind ended in a way, when they were last counted.
type JobCount struct {
	Status    string    `db:"status"`
	Kind      string    `db:"kind"`
	Queue     string    `db:"queue"`
	N         int64     `db:"n"`
	Exact     bool      `db:"exact"` // false: a later count took too long, so there may be many more, or fewer
	SampledAt time.Time `db:"sampled_at"`
}

// Every row is seen in the index alone, whose order is that of the groups.
const countJobs = `SELECT status, kind, queue, count(*) AS n FROM jobs WHERE finished_at IS NOT NULL GROUP BY status, kind, queue`

// The planner would rather read the table where its statistics are old.
const countByIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`

// CountJobs counts all jobs that ended, over all organizations. It takes a second for some millions of them.
func (db *DB) CountJobs(ctx context.Context, atMost time.Duration) ([]JobCount, error) {
	var list []JobCount
	err := db.with(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			for _, set := range []struct {
				sql  string
				args []any
			}{{boundSampling, []any{fmt.Sprint(atMost.Milliseconds())}}, {countByIndex, nil}} {
				if _, err := tx.Exec(ctx, set.sql, set.args...); err != nil {
					return err
				}
			}
			rows, err := tx.Query(ctx, countJobs)
			if err != nil {
				return err
			}
			list, err = pgx.CollectRows(rows, pgx.RowToStructByNameLax[JobCount])
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return list, nil
}

const putJobCount = `
INSERT INTO job_counts (status, kind, queue, n, exact, sampled_at) VALUES ($1, $2, $3, $4, true, $5)
ON CONFLICT (status, kind, queue) DO UPDATE SET n = excluded.n, exact = true, sampled_at = excluded.sampled_at`

const dropJobCounts = `DELETE FROM job_counts WHERE sampled_at <> $1`

// PutJobCounts notes what was counted at a time, instead of what was before.
func (db *DB) PutJobCounts(ctx context.Context, at time.Time, list []JobCount) error {
	b := &pgx.Batch{}
	for _, c := range list {
		b.Queue(putJobCount, c.Status, c.Kind, c.Queue, c.N, at)
	}
	b.Queue(dropJobCounts, at)
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("note how many jobs there are: %w", err)
	}
	return nil
}

const doubtJobCounts = `UPDATE job_counts SET exact = false WHERE exact`

// DoubtJobCounts notes that jobs could not be counted again in the time that there is for it.
func (db *DB) DoubtJobCounts(ctx context.Context) error {
	if _, err := db.pool.Exec(ctx, doubtJobCounts); err != nil {
		return fmt.Errorf("doubt the counts of jobs: %w", err)
	}
	return nil
}

const selectJobCounts = `SELECT status, kind, queue, n, exact, sampled_at FROM job_counts ORDER BY status, kind, queue`

// JobCounts gives how many jobs ended, as they were last counted.
func JobCounts(ctx context.Context, db Execer) ([]JobCount, error) {
	rows, err := db.Query(ctx, selectJobCounts)
	if err != nil {
		return nil, fmt.Errorf("read how many jobs there are: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[JobCount])
	if err != nil {
		return nil, fmt.Errorf("read how many jobs there are: %w", err)
	}
	return list, nil
}

// IsCancelled reports whether Postgres gave a statement up, as it took longer than it may.
func IsCancelled(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == queryCancelled
}
