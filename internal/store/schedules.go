package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Schedule is work that the wall clock starts.
type Schedule struct {
	Name      string     `db:"name"`
	Kind      string     `db:"kind"`
	Cron      string     `db:"cron"` // in UTC
	LastRunAt *time.Time `db:"last_run_at"`
	NextRunAt time.Time  `db:"next_run_at"`
	PausedAt  *time.Time `db:"paused_at"`   // nil: the clock starts it
	AskedAt   *time.Time `db:"asked_at"`    // when somebody last asked for a run by hand
	LastJobID *int64     `db:"last_job_id"` // River's number of what it started last; nil: nobody knows
}

// Asked says that somebody asked for a run that has not begun.
func (s Schedule) Asked() bool {
	return s.AskedAt != nil && (s.LastRunAt == nil || s.AskedAt.After(*s.LastRunAt))
}

const putSchedule = `
INSERT INTO schedules (name, kind, cron, next_run_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind, cron = excluded.cron, next_run_at = excluded.next_run_at, updated_at = now()
WHERE schedules.cron <> excluded.cron OR schedules.kind <> excluded.kind`

// PutSchedules makes schedules known. One that is unchanged keeps its next time, so that a restart
// neither skips nor repeats a tick.
func PutSchedules(ctx context.Context, tx pgx.Tx, list []Schedule) error {
	b := &pgx.Batch{}
	for _, s := range list {
		b.Queue(putSchedule, s.Name, s.Kind, s.Cron, s.NextRunAt)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store schedules: %w", err)
	}
	return nil
}

const dropSchedules = `DELETE FROM schedules WHERE name = ANY ($1)`

// DropSchedules forgets schedules, their past included.
func DropSchedules(ctx context.Context, tx pgx.Tx, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, dropSchedules, names); err != nil {
		return fmt.Errorf("drop schedules: %w", err)
	}
	return nil
}

const scheduleColumns = `SELECT name, kind, cron, last_run_at, next_run_at, paused_at, asked_at, last_job_id FROM schedules `

const dueSchedules = scheduleColumns + `
WHERE next_run_at <= now() AND paused_at IS NULL OR asked_at > coalesce(last_run_at, '-infinity') OR last_run_at > now() + interval '1 hour'
ORDER BY next_run_at
FOR UPDATE SKIP LOCKED`

// DueSchedules locks what is due and not paused, what somebody asked for, and what ran in the future: a clock that was wrong by years would keep it from running
// for as long. A clock that is set back by seconds leaves it alone, or it would run twice. DueSchedules gives the database's time, by which it is judged.
func DueSchedules(ctx context.Context, tx pgx.Tx) ([]Schedule, time.Time, error) {
	rows, err := tx.Query(ctx, dueSchedules)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for due schedules: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[Schedule])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for due schedules: %w", err)
	}
	var now time.Time
	if len(due) > 0 {
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return nil, now, fmt.Errorf("read the time: %w", err)
		}
	}
	return due, now, nil
}

const advanceSchedule = `
UPDATE schedules SET last_run_at = $2, next_run_at = $3, last_job_id = coalesce($4, last_job_id), updated_at = now() WHERE name = $1`

// AdvanceSchedule notes that a schedule ran, when it runs next, and River's number of what it started; nil: nothing.
func AdvanceSchedule(ctx context.Context, tx pgx.Tx, name string, ran, next time.Time, started *int64) error {
	if _, err := tx.Exec(ctx, advanceSchedule, name, ran, next, started); err != nil {
		return fmt.Errorf("advance schedule %s: %w", name, err)
	}
	return nil
}

const selectSchedules = scheduleColumns + `ORDER BY name`

// Schedules lists them all.
func (db *DB) Schedules(ctx context.Context) ([]Schedule, error) {
	rows, err := db.pool.Query(ctx, selectSchedules)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Schedule])
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return list, nil
}

const postponeSchedule = `UPDATE schedules SET next_run_at = $2, asked_at = NULL, updated_at = now() WHERE name = $1`

// PostponeSchedule leaves ticks out: the schedule runs next at a time.
func PostponeSchedule(ctx context.Context, tx pgx.Tx, name string, next time.Time) error {
	if _, err := tx.Exec(ctx, postponeSchedule, name, next); err != nil {
		return fmt.Errorf("postpone schedule %s: %w", name, err)
	}
	return nil
}
