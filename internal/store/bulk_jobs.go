package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A BulkJob is a job as far as it must be known to act on it among many. Contents are left out: they may be large.
type BulkJob struct {
	OrganizationID string    `db:"organization_id"`
	ID             string    `db:"id"`
	Kind           string    `db:"kind"`
	Queue          string    `db:"queue"`
	Status         string    `db:"status"` // as the operator sees it: waiting and scheduled beside the client's
	Priority       int       `db:"priority"`
	Overflow       bool      `db:"overflow"`
	Run            int       `db:"run"`
	MaxAttempts    int       `db:"max_attempts"`
	CallsBack      bool      `db:"calls_back"`
	EventID        string    `db:"event_id"`
	RequestID      *string   `db:"request_id"`
	TraceParent    *string   `db:"traceparent"`
	Now            time.Time `db:"now"`
	Version        int64     `db:"version"`
}

// Over reports whether the job has ended.
func (j BulkJob) Over() bool {
	return j.Status == Succeeded || j.Status == Failed || j.Status == Cancelled
}

// In the order of their key, as everybody should who locks several.
const lockBulkJobs = `
SELECT j.organization_id::text, j.id::text, j.kind, j.queue, ` + jobStateNow + ` AS status, j.priority, j.overflow, j.run, j.max_attempts,
       j.callback_url IS NOT NULL AS calls_back, j.event_id::text, j.request_id, j.traceparent, now() AS now, j.version
FROM jobs j
WHERE (j.organization_id, j.id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY j.organization_id, j.id FOR UPDATE`

// LockBulkJobs reads jobs by the pairs of organization and id, and keeps others from changing them.
func LockBulkJobs(ctx context.Context, tx pgx.Tx, organizations, ids []string) (map[string]BulkJob, error) {
	rows, err := tx.Query(ctx, lockBulkJobs, organizations, ids)
	if err != nil {
		return nil, fmt.Errorf("lock %d jobs: %w", len(ids), err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[BulkJob])
	if err != nil {
		return nil, fmt.Errorf("lock %d jobs: %w", len(ids), err)
	}
	found := make(map[string]BulkJob, len(list))
	for _, j := range list {
		found[j.ID] = j
	}
	return found, nil
}

const requeueBulkJob = newRun + `)`

// QueueRequeue adds to a batch what RequeueJob does, for a job that is locked and fit for it.
func QueueRequeue(b *pgx.Batch, j BulkJob, eventID string, place Place) {
	b.Queue(requeueBulkJob, j.OrganizationID, j.ID, eventID, place == Overflow).Exec(oneRow)
}

const cancelBulkJob = `
UPDATE jobs
SET status = 'cancelled', finished_at = now(), waiting_reason = NULL, next_attempt_at = NULL, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND status IN ('queued', 'running')`

// QueueCancel adds to a batch what CancelJob does, for a job that is locked and has not ended.
func QueueCancel(b *pgx.Batch, j BulkJob) {
	b.Queue(cancelBulkJob, j.OrganizationID, j.ID).Exec(oneRow)
}

// LockRiverStatus reads the state of an internal job as the operator sees it, and keeps it as it is.
func LockRiverStatus(ctx context.Context, tx pgx.Tx, id int64) (status string, err error) {
	const lockRiverJob = `SELECT ` + riverStateNow + ` FROM river_job r WHERE r.id = $1 FOR UPDATE`
	if err := tx.QueryRow(ctx, lockRiverJob, id).Scan(&status); err != nil {
		return "", fmt.Errorf("lock River's job %d: %w", id, notFound(err))
	}
	return status, nil
}

// QueueDelete adds to a batch what DeleteEndedJob does, for a job that is locked and has ended.
func QueueDelete(b *pgx.Batch, j BulkJob) {
	b.Queue(deleteEndedJob, j.OrganizationID, j.ID).Exec(oneRow)
}
