package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A ScheduleStanding is a schedule with what became of what it started last.
type ScheduleStanding struct {
	Schedule
	PausedBy   *string    `db:"paused_by"` // name of the key
	State      *string    `db:"state"`     // of River; nil: the row is gone
	Attempt    *int       `db:"attempt"`
	Attempted  *time.Time `db:"attempted_at"`
	FinishedAt *time.Time `db:"finished_at"`
}

const selectScheduleStandings = `
SELECT s.name, s.kind, s.cron, s.last_run_at, s.next_run_at, s.paused_at, s.asked_at, s.last_job_id,
       p.key_name AS paused_by, j.state::text AS state, j.attempt::int AS attempt, j.attempted_at, j.finalized_at AS finished_at
FROM schedules s LEFT JOIN river_job j ON j.id = s.last_job_id AND j.kind = s.kind
LEFT JOIN LATERAL (
    SELECT key_name FROM audit_log a
    WHERE s.paused_at IS NOT NULL AND a.target = 'schedule' AND a.target_id = s.name AND a.action = 'schedule.pause' AND a.outcome = 'done'
    ORDER BY a.id DESC LIMIT 1) AS p ON true
ORDER BY s.name`

// ScheduleStandings lists all schedules.
func ScheduleStandings(ctx context.Context, tx pgx.Tx) ([]ScheduleStanding, error) {
	rows, err := tx.Query(ctx, selectScheduleStandings)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ScheduleStanding])
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return list, nil
}

const lockSchedule = scheduleColumns + `WHERE name = $1 FOR UPDATE`

// LockSchedule locks a schedule: what the clock starts waits until it is decided.
func LockSchedule(ctx context.Context, tx pgx.Tx, name string) (Schedule, error) {
	rows, err := tx.Query(ctx, lockSchedule, name)
	if err != nil {
		return Schedule{}, fmt.Errorf("lock schedule %s: %w", name, err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Schedule])
	if err != nil {
		return s, fmt.Errorf("lock schedule %s: %w", name, notFound(err))
	}
	return s, nil
}

// A process of an older version knows of no asking: it goes by the next time alone. One that is paused it would start by
// the clock as well.
const askSchedule = `
UPDATE schedules SET asked_at = now(), next_run_at = CASE WHEN paused_at IS NULL THEN now() ELSE next_run_at END, updated_at = now()
WHERE name = $1 RETURNING asked_at`

// AskSchedule has a schedule run now, once.
func AskSchedule(ctx context.Context, tx pgx.Tx, name string) (at time.Time, err error) {
	if err = tx.QueryRow(ctx, askSchedule, name).Scan(&at); err != nil {
		return at, fmt.Errorf("ask for a run of %s: %w", name, err)
	}
	return at, nil
}

const pauseSchedule = `UPDATE schedules SET paused_at = now(), updated_at = now() WHERE name = $1 RETURNING paused_at`

// PauseSchedule keeps the clock from starting it.
func PauseSchedule(ctx context.Context, tx pgx.Tx, name string) (at time.Time, err error) {
	if err = tx.QueryRow(ctx, pauseSchedule, name).Scan(&at); err != nil {
		return at, fmt.Errorf("pause schedule %s: %w", name, err)
	}
	return at, nil
}

const resumeSchedule = `UPDATE schedules SET paused_at = NULL, next_run_at = $2, updated_at = now() WHERE name = $1`

// ResumeSchedule lets the clock start it again, at a time: what was missed meanwhile is not made up for.
func ResumeSchedule(ctx context.Context, tx pgx.Tx, name string, next time.Time) error {
	if _, err := tx.Exec(ctx, resumeSchedule, name, next); err != nil {
		return fmt.Errorf("resume schedule %s: %w", name, err)
	}
	return nil
}
