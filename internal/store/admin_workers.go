package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A RunningJob is what a worker works at.
type RunningJob struct {
	RiverJobID int64     `db:"id"`
	JobID      *string   `db:"job_id"` // nil: no client asked for it
	Kind       string    `db:"kind"`
	Queue      string    `db:"queue"`
	Attempt    int       `db:"attempt"`
	Since      time.Time `db:"since"`
	Worker     string    `db:"worker"`
}

const selectRunning = `
SELECT id, args ->> 'job_id' AS job_id, kind, queue, attempt, coalesce(attempted_at, scheduled_at) AS since,
       coalesce(attempted_by[array_upper(attempted_by, 1)], '') AS worker
FROM river_job WHERE state = 'running' ORDER BY attempted_at LIMIT 2000`

// RunningJobs lists what is worked at, the longest first.
func RunningJobs(ctx context.Context, tx pgx.Tx) ([]RunningJob, error) {
	rows, err := tx.Query(ctx, selectRunning)
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[RunningJob])
	if err != nil {
		return nil, fmt.Errorf("list running jobs: %w", err)
	}
	return list, nil
}

// LivingWorkers lists the processes that work and gave a sign of life lately.
func LivingWorkers(ctx context.Context, tx pgx.Tx) ([]WorkerProcess, error) {
	rows, err := tx.Query(ctx, selectWorkersAlive, workerSilence)
	if err != nil {
		return nil, fmt.Errorf("list living workers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[WorkerProcess])
	if err != nil {
		return nil, fmt.Errorf("list living workers: %w", err)
	}
	return list, nil
}

// A Lead is who does what one process at a time does.
type Lead struct {
	Process string
	Since   time.Time
	Until   *time.Time // nil: as long as its connection
}

const (
	selectRiverLeader = `SELECT leader_id, elected_at, expires_at FROM river_leader WHERE expires_at > now() LIMIT 1`
	selectSampler     = `SELECT by, began_at FROM samplers WHERE name = 'queues' AND began_at > now() - interval '1 minute'`
)

// RiverLeader is who keeps River's house; nil: nobody does.
func RiverLeader(ctx context.Context, tx pgx.Tx) (*Lead, error) {
	var l Lead
	err := tx.QueryRow(ctx, selectRiverLeader).Scan(&l.Process, &l.Since, &l.Until)
	return leadOf(&l, err, "river's leader")
}

// Sampler is who last looked at the queues, and when; nil: nobody did lately.
func Sampler(ctx context.Context, tx pgx.Tx) (*Lead, error) {
	var l Lead
	err := tx.QueryRow(ctx, selectSampler).Scan(&l.Process, &l.Since)
	return leadOf(&l, err, "the sampler")
}

func leadOf(l *Lead, err error, who string) (*Lead, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", who, err)
	}
	return l, nil
}

// An advisory lock of 64 bits stands there in two halves.
const selectLockHolders = `
SELECT (l.classid::bigint << 32) | l.objid::bigint, coalesce(a.application_name, ''), coalesce(a.backend_start, now())
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.mode = 'ExclusiveLock'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) | l.objid::bigint = ANY ($1)`

// LockHolders gives who holds advisory locks that one process at a time has, by the lock. Who it is is told by the
// instance in the name of its session, which Postgres shows to the login alone.
func (db *DB) LockHolders(ctx context.Context, locks []int64) (map[int64]Lead, error) {
	holders := make(map[int64]Lead)
	b := &pgx.Batch{}
	b.Queue(boundFigures)
	b.Queue(actAsLogin)
	b.Queue(selectLockHolders, locks).Query(func(rows pgx.Rows) error {
		var lock int64
		var name string
		var since time.Time
		_, err := pgx.ForEachRow(rows, []any{&lock, &name, &since}, func() error {
			l := Lead{Process: name, Since: since}
			if p, ok := parseProcess(name); ok {
				l.Process = p.Instance
			}
			holders[lock] = l
			return nil
		})
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("look who holds the locks of leaders: %w", err)
	}
	return holders, nil
}
