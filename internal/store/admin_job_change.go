package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	prioritizeJob = `
UPDATE jobs SET priority = $3, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND finished_at IS NULL`
	// One beyond its organization's share keeps its place behind all; it gets the priority when it moves up.
	prioritizeRiver = `
UPDATE river_job SET priority = $2
WHERE id = $1 AND state IN ('available', 'pending', 'scheduled', 'retryable', 'running') AND ($3::boolean OR priority <> 4)`
	riverOfRun = `
SELECT id FROM river_job
WHERE args @> jsonb_build_object('job_id', $1::text, 'run', $2::int) AND state IN ('available', 'pending', 'scheduled', 'retryable', 'running')
ORDER BY id DESC LIMIT 1`
	rescheduleJob = `
UPDATE jobs
SET run_at = $3::timestamptz, next_attempt_at = CASE WHEN waiting_reason IS NOT NULL THEN $3::timestamptz END, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND (status = 'queued' OR status = 'running' AND waiting_reason IS NOT NULL)`
	rescheduleRiver = `
UPDATE river_job
SET scheduled_at = $2::timestamptz, state = CASE WHEN $2::timestamptz <= now() THEN 'available' ELSE 'scheduled' END::river_job_state
WHERE id = $1 AND state IN ('available', 'scheduled', 'retryable')`
)

// RiverOfRun finds River's row of a job's run that has not ended; ErrConflict where there is none, as the fact that
// starts it is still on its way.
func RiverOfRun(ctx context.Context, tx pgx.Tx, jobID string, run int) (id int64, err error) {
	err = tx.QueryRow(ctx, riverOfRun, jobID, run).Scan(&id)
	if notFound(err) == ErrNotFound {
		err = ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("find River's row of job %s: %w", jobID, err)
	}
	return id, nil
}

// PrioritizeJob gives a job that has not ended another priority, as the operator wants it; ErrConflict when it has.
func PrioritizeJob(ctx context.Context, tx pgx.Tx, organizationID, id string, river int64, priority int) error {
	tag, err := tx.Exec(ctx, prioritizeJob, organizationID, id, priority)
	if err == nil {
		err = oneRow(tag)
	}
	if err == nil {
		_, err = tx.Exec(ctx, prioritizeRiver, river, priority, false)
	}
	if err != nil {
		return fmt.Errorf("prioritize job %s: %w", id, err)
	}
	return nil
}

// RescheduleJob has a job that is not being worked go on at another time; ErrConflict when it is, or has ended.
func RescheduleJob(ctx context.Context, tx pgx.Tx, organizationID, id string, river int64, at time.Time) error {
	tag, err := tx.Exec(ctx, rescheduleJob, organizationID, id, at)
	if err == nil {
		err = oneRow(tag)
	}
	if err == nil {
		err = RescheduleRiver(ctx, tx, river, at)
	}
	if err != nil {
		return fmt.Errorf("reschedule job %s: %w", id, err)
	}
	return nil
}

// RescheduleRiver is RescheduleJob for an internal job.
func RescheduleRiver(ctx context.Context, tx pgx.Tx, id int64, at time.Time) error {
	tag, err := tx.Exec(ctx, rescheduleRiver, id, at)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return fmt.Errorf("reschedule River's job %d: %w", id, err)
	}
	return nil
}

// PrioritizeRiver is PrioritizeJob for an internal job.
func PrioritizeRiver(ctx context.Context, tx pgx.Tx, id int64, priority int) error {
	tag, err := tx.Exec(ctx, prioritizeRiver, id, priority, true)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return fmt.Errorf("prioritize River's job %d: %w", id, err)
	}
	return nil
}
