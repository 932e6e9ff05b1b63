package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Pulse is what tells at a glance whether an installation is well.
type Pulse struct {
	Workers []WorkerProcess // that said so lately that they live
	Paused  []PausedQueue
	Dead    int64 // events that could not be read and wait for an operator, MostEventsCounted at most
	// OldestUnrouted is how long the oldest fact waits whose jobs have not been started.
	OldestUnrouted time.Duration
	Unrouted       int64 // MostEventsCounted at most
	Unknown        int64 // mails of which nobody knows whether they were taken, MostEventsCounted at most
	Leader         bool  // somebody puts off, schedules and rescues River's jobs
	Backups        BackupStanding
	Schedule       *Schedule // of backups; nil: nobody makes any by the clock
}

// A PausedQueue is one from which nothing is taken.
type PausedQueue struct {
	Name     string    `db:"name"`
	PausedAt time.Time `db:"paused_at"`
}

const (
	pausedQueues = `SELECT name, paused_at FROM river_queue WHERE paused_at IS NOT NULL ORDER BY name`
	unknownMails = `SELECT count(*) FROM (SELECT FROM mail_messages WHERE state = 'unknown' LIMIT $1) AS counted`
	riverLeader  = `SELECT EXISTS (SELECT FROM river_leader WHERE expires_at > now())`
)

// PulseOf looks, in one round trip, at what would have somebody come running.
func PulseOf(ctx context.Context, tx pgx.Tx) (p Pulse, err error) {
	var e EventFigures
	b := &pgx.Batch{}
	b.Queue(selectWorkersAlive, workerSilence).Query(func(rows pgx.Rows) (err error) {
		p.Workers, err = pgx.CollectRows(rows, pgx.RowToStructByName[WorkerProcess])
		return err
	})
	b.Queue(pausedQueues).Query(collect(&p.Paused))
	queueEvents(b, &e, nil)
	b.Queue(unknownMails, MostEventsCounted).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Unknown) })
	b.Queue(riverLeader).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Leader) })
	b.Queue(backupStanding).Query(func(rows pgx.Rows) (err error) {
		p.Backups, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BackupStanding])
		return err
	})
	b.Queue(backupSchedule).Query(func(rows pgx.Rows) (err error) {
		p.Schedule, err = atMostOne[Schedule](rows)
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return p, fmt.Errorf("look whether all is well: %w", err)
	}
	p.Dead, p.Unrouted = e.Dead, e.Unrouted
	p.OldestUnrouted = seconds(e.OldestUnrouted)
	return p, nil
}
