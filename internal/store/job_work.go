package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Start names the run that a worker wants to begin.
type Start struct {
	OrganizationID string
	JobID          string
	Run            int
	RiverJobID     int64
	Attempt        int // River's count of this run
}

const startJob = `
UPDATE jobs
SET status = 'running', lease = lease + 1, attempt = $4, river_job_id = $5, waiting_reason = NULL,
    next_attempt_at = NULL, started_at = coalesce(started_at, now()), updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND run = $3 AND status IN ('queued', 'running')
RETURNING ` + jobColumns

// StartJobs takes jobs for workers, each for itself. A job that has ended, or whose run was overtaken by
// a retry, is ErrConflict: there is nothing to do any more.
func StartJobs(ctx context.Context, db *DB, starts []Start) ([]Job, []error) {
	jobs, errs := make([]Job, len(starts)), make([]error, len(starts))
	b := &pgx.Batch{}
	for i, s := range starts {
		b.Queue(startJob, s.OrganizationID, s.JobID, s.Run, s.Attempt, s.RiverJobID).Query(func(rows pgx.Rows) (err error) {
			jobs[i], err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
			if errors.Is(err, pgx.ErrNoRows) {
				errs[i], err = fmt.Errorf("start job %s: %w", s.JobID, ErrConflict), nil
			}
			return err
		})
	}
	if err := db.Send(ctx, b); err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("start job %s: %w", starts[i].JobID, err)
		}
	}
	return jobs, errs
}

// A Hold is a worker's claim on a job: it ends when the job is started again, overtaken, or ended.
type Hold struct {
	OrganizationID string
	JobID          string
	Lease          int
}

// Hold gives the claim that StartJob's result stands for.
func (j Job) Hold() Hold {
	return Hold{OrganizationID: j.OrganizationID, JobID: j.ID, Lease: j.Lease}
}

const isHeld = `
SELECT EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running')`

// IsHeld reports whether a claim on a job still stands.
func IsHeld(ctx context.Context, db Execer, h Hold) (held bool, err error) {
	if err := db.QueryRow(ctx, isHeld, h.OrganizationID, h.JobID, h.Lease).Scan(&held); err != nil {
		return false, fmt.Errorf("look who holds job %s: %w", h.JobID, err)
	}
	return held, nil
}

const succeedJob = `
UPDATE jobs
SET status = 'succeeded', output = $4, finished_at = now(), waiting_reason = NULL, next_attempt_at = NULL,
    updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running'`

// QueueSucceed adds the good end of a held job to a batch. ErrConflict comes from the batch when the
// hold is lost.
func QueueSucceed(b *pgx.Batch, h Hold, output json.RawMessage) {
	b.Queue(succeedJob, h.OrganizationID, h.JobID, h.Lease, output).Exec(oneRow)
}

const failJob = `
UPDATE jobs
SET status = 'failed', error = $4, output = coalesce($5, output), finished_at = now(), waiting_reason = NULL,
    next_attempt_at = NULL, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status IN ('queued', 'running')`

// QueueFail adds the bad end of a held job to a batch, with the problem that its client reads and what
// there is of a result.
func QueueFail(b *pgx.Batch, h Hold, problem, output json.RawMessage) {
	b.Queue(failJob, h.OrganizationID, h.JobID, h.Lease, problem, output).Exec(oneRow)
}

const waitJob = `
UPDATE jobs
SET waiting_reason = $4, next_attempt_at = $5, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running'`

// QueueJobWait adds to a batch why a held job does not go on now, and when it will be tried again. ErrConflict comes from
// the batch when the hold is lost.
func QueueJobWait(b *pgx.Batch, h Hold, reason string, next time.Time) {
	b.Queue(waitJob, h.OrganizationID, h.JobID, h.Lease, reason, next).Exec(oneRow)
}

const progressJob = `
UPDATE jobs SET progress = $4, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running'`

// ProgressJob notes how far a held job has come.
func ProgressJob(ctx context.Context, db Execer, h Hold, progress json.RawMessage) error {
	tag, err := db.Exec(ctx, progressJob, h.OrganizationID, h.JobID, h.Lease, progress)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return fmt.Errorf("note progress of job %s: %w", h.JobID, err)
	}
	return nil
}

func oneRow(tag pgconn.CommandTag) error {
	if tag.RowsAffected() != 1 {
		return ErrConflict
	}
	return nil
}

const expiredJobs = `
SELECT ` + jobColumns + ` FROM jobs
WHERE deadline < now() AND deadline IS NOT NULL AND finished_at IS NULL
ORDER BY deadline LIMIT $1
FOR UPDATE SKIP LOCKED`

// ExpiredJobs locks jobs whose deadline has passed before they ended.
func ExpiredJobs(ctx context.Context, tx pgx.Tx, limit int) ([]Job, error) {
	rows, err := tx.Query(ctx, expiredJobs, limit)
	if err != nil {
		return nil, fmt.Errorf("look for expired jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("look for expired jobs: %w", err)
	}
	return jobs, nil
}

// News of a cancellation may come late: work that a later run has begun is not meant.
const riverJobOf = `
SELECT j.river_job_id FROM jobs j JOIN river_job r ON r.id = j.river_job_id
WHERE j.organization_id = $1 AND j.id = $2 AND (j.finished_at IS NOT NULL OR (r.args ->> 'run')::int < j.run)`

// RiverJobOf gives the River job that works, or waits to work, for a job that has ended or has a later
// run; 0 when there is none.
func RiverJobOf(ctx context.Context, db Execer, organizationID, id string) (int64, error) {
	var river *int64
	err := db.QueryRow(ctx, riverJobOf, organizationID, id).Scan(&river)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && river == nil {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look up the work of job %s: %w", id, err)
	}
	return *river, nil
}
