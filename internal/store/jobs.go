package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// States of a job. They only move forward, a retry by hand excepted.
const (
	Queued    = "queued"
	Running   = "running"
	Succeeded = "succeeded"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// A Job is work as its client sees it.
type Job struct {
	OrganizationID string          `db:"organization_id"`
	ID             string          `db:"id"`
	Kind           string          `db:"kind"`
	Queue          string          `db:"queue"`
	Status         string          `db:"status"`
	Priority       int             `db:"priority"` // 1 high, 2 normal, 3 low
	Overflow       bool            `db:"overflow"` // beyond the organization's fair share
	Run            int             `db:"run"`      // 1, and one more for every retry by hand
	Lease          int             `db:"lease"`    // counts the starts
	Attempt        int             `db:"attempt"`
	MaxAttempts    int             `db:"max_attempts"`
	Input          json.RawMessage `db:"input"`
	Output         json.RawMessage `db:"output"`
	Error          json.RawMessage `db:"error"` // a problem object
	WaitingReason  *string         `db:"waiting_reason"`
	NextAttemptAt  *time.Time      `db:"next_attempt_at"`
	Progress       json.RawMessage `db:"progress"`
	Metadata       json.RawMessage `db:"metadata"`
	CallbackURL    *string         `db:"callback_url"`
	RunAt          time.Time       `db:"run_at"`
	Deadline       *time.Time      `db:"deadline"`
	RiverJobID     *int64          `db:"river_job_id"`
	EventID        string          `db:"event_id"`
	RequestID      *string         `db:"request_id"`
	TraceParent    *string         `db:"traceparent"`
	CreatedAt      time.Time       `db:"created_at"`
	StartedAt      *time.Time      `db:"started_at"`
	FinishedAt     *time.Time      `db:"finished_at"`
	Version        int64           `db:"version"`
}

// Terminal reports whether the job has ended.
func (j Job) Terminal() bool {
	return j.Status == Succeeded || j.Status == Failed || j.Status == Cancelled
}

// CallsBack reports whether the job's client wants to be called back at its end.
func (j Job) CallsBack() bool { return j.CallbackURL != nil }

const jobColumns = `organization_id::text, id::text, kind, queue, status, priority, overflow, run, lease, attempt,
    max_attempts, input, output, error, waiting_reason, next_attempt_at, progress, metadata, callback_url, run_at,
    deadline, river_job_id, event_id::text, request_id, traceparent, created_at, started_at, finished_at, version`

const insertJob = `
INSERT INTO jobs (organization_id, id, kind, queue, priority, overflow, max_attempts, input, metadata, callback_url,
                  run_at, deadline, event_id, request_id, traceparent, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, nullif($14, ''), nullif($15, ''), $16)`

// QueueJob adds the insert of a queued job to a batch.
func QueueJob(b *pgx.Batch, j Job) { b.Queue(insertJob, j.insertArgs()...) }

const insertJobOnce = insertJob + `
ON CONFLICT (organization_id, id) DO NOTHING`

// InsertJob inserts a queued job whose id says what it is for; false when it was inserted before.
func InsertJob(ctx context.Context, tx pgx.Tx, j Job) (bool, error) {
	tag, err := tx.Exec(ctx, insertJobOnce, j.insertArgs()...)
	if err != nil {
		return false, fmt.Errorf("insert job %s: %w", j.ID, err)
	}
	return tag.RowsAffected() == 1, nil
}

func (j Job) insertArgs() []any {
	return []any{j.OrganizationID, j.ID, j.Kind, j.Queue, j.Priority, j.Overflow, j.MaxAttempts, j.Input, j.Metadata,
		j.CallbackURL, j.RunAt, j.Deadline, j.EventID, deref(j.RequestID), deref(j.TraceParent), j.CreatedAt}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const selectJob = `SELECT ` + jobColumns + ` FROM jobs WHERE organization_id = $1 AND id = $2`

// Job reads one job of an organization.
func (db *DB) Job(ctx context.Context, organizationID, id string) (Job, error) {
	var j Job
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
		return notFound(err)
	}, selectJob, organizationID, id)
	if err != nil {
		return j, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// A JobFilter narrows a list of jobs. Zero fields don't.
type JobFilter struct {
	Status        string
	Kind          string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Before        string // id: only older jobs
	Limit         int
}

// Jobs lists an organization's jobs, newest first.
func (db *DB) Jobs(ctx context.Context, organizationID string, f JobFilter) ([]Job, error) {
	sql, args := f.query()
	args = append(args, organizationID)
	var jobs []Job
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		jobs, err = pgx.CollectRows(rows, pgx.RowToStructByName[Job])
		return err
	}, fmt.Sprintf(sql, fmt.Sprintf("organization_id = $%d", len(args))), args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs of %s: %w", organizationID, err)
	}
	return jobs, nil
}

// query spells only the conditions that there are: a condition that may be absent keeps Postgres from
// planning with the index made for it. The verb %s is left for whose jobs they are.
// The order names the table: the list has an id too, a text, which no index is sorted by.
func (f JobFilter) query() (sql string, args []any) {
	conditions := []string{"%s"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	switch f.Status {
	case "":
	case Failed:
		where("status = ? AND error IS NOT NULL", f.Status)
	case Queued, Running:
		where("status = ? AND finished_at IS NULL", f.Status)
	default:
		where("status = ?", f.Status)
	}
	if f.Kind != "" {
		where("kind = ?", f.Kind)
	}
	// The id tells the time too, and is what the index is sorted by.
	if !f.CreatedAfter.IsZero() {
		where("created_at >= ?", f.CreatedAfter)
		where("id >= ?", idAt(f.CreatedAfter.Add(-idSlack)))
	}
	if !f.CreatedBefore.IsZero() {
		where("created_at < ?", f.CreatedBefore)
		where("id < ?", idAt(f.CreatedBefore.Add(idSlack)))
	}
	if f.Before != "" {
		where("id < ?", f.Before)
	}
	args = append(args, f.Limit)
	return `SELECT ` + jobColumns + ` FROM jobs WHERE ` + strings.Join(conditions, " AND ") +
		` ORDER BY jobs.id DESC LIMIT $` + strconv.Itoa(len(args)), args
}

// idSlack is more than the moments lie apart at which a job's id and its created_at were made.
const idSlack = 10 * time.Second

// idAt is the least UUIDv7 of a moment.
func idAt(t time.Time) string {
	var id uuid.UUID
	ms := uint64(max(t.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id.String()
}

const countAdmitted = `
SELECT count(*) FROM (
    SELECT FROM jobs
    WHERE organization_id = $1 AND queue = $2 AND finished_at IS NULL AND NOT overflow
    ORDER BY id DESC LIMIT $3
) AS admitted`

// CountAdmitted counts an organization's unfinished jobs of a queue that have their fair place in it,
// up to a limit.
func (db *DB) CountAdmitted(ctx context.Context, organizationID, queue string, limit int) (int, error) {
	var n int
	b := BatchAs(organizationID)
	b.Queue(countAdmitted, organizationID, queue, limit).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	if err := db.Send(ctx, b); err != nil {
		return 0, fmt.Errorf("count unfinished jobs of %s: %w", organizationID, err)
	}
	return n, nil
}

const lockJob = `SELECT ` + jobColumns + ` FROM jobs WHERE organization_id = $1 AND id = $2 FOR UPDATE`

// LockJob reads a job and keeps others from changing it until the transaction ends.
func LockJob(ctx context.Context, tx pgx.Tx, organizationID, id string) (Job, error) {
	rows, err := tx.Query(ctx, lockJob, organizationID, id)
	if err != nil {
		return Job{}, fmt.Errorf("lock job %s: %w", id, err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return j, fmt.Errorf("lock job %s: %w", id, notFound(err))
	}
	return j, nil
}

const cancelJob = `
UPDATE jobs
SET status = 'cancelled', finished_at = now(), waiting_reason = NULL, next_attempt_at = NULL,
    updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2 AND status IN ('queued', 'running')
RETURNING ` + jobColumns

// CancelJob ends a job that has not ended, else ErrConflict.
func CancelJob(ctx context.Context, tx pgx.Tx, organizationID, id string) (Job, error) {
	return changeJob(ctx, tx, "cancel", cancelJob, organizationID, id)
}

// A Place is where in its queue a job goes.
type Place int

// The places: within the organization's fair share, or behind everybody else's.
const (
	Fair Place = iota
	Overflow
)

const (
	newRun = `
UPDATE jobs
SET status = 'queued', run = run + 1, attempt = 0, overflow = $4, output = NULL, error = NULL, waiting_reason = NULL,
    next_attempt_at = NULL, progress = NULL, run_at = now(), started_at = NULL, finished_at = NULL, event_id = $3,
    deadline = CASE WHEN deadline > now() THEN deadline END, updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2
  AND (status IN ('failed', 'cancelled') OR (status IN ('queued', 'running') AND waiting_reason IS NOT NULL)
       OR (status = 'queued' AND run_at > now())`
	requeueJob = newRun + `)
RETURNING ` + jobColumns
	rerunJob = newRun + ` OR status = 'succeeded')
RETURNING ` + jobColumns
)

// RequeueJob gives a job that failed, was cancelled or waits a new run that is due now; the old run is
// overtaken. A job that is being worked or has succeeded is ErrConflict. A deadline that has passed is
// dropped, as it would end the new run at once.
func RequeueJob(ctx context.Context, tx pgx.Tx, organizationID, id, eventID string, place Place) (Job, error) {
	return changeJob(ctx, tx, "requeue", requeueJob, organizationID, id, eventID, place == Overflow)
}

// RerunJob is RequeueJob also for a job that has succeeded, of which a part is to be done again.
func RerunJob(ctx context.Context, tx pgx.Tx, organizationID, id, eventID string, place Place) (Job, error) {
	return changeJob(ctx, tx, "run again", rerunJob, organizationID, id, eventID, place == Overflow)
}

func changeJob(ctx context.Context, tx pgx.Tx, verb, sql string, args ...any) (Job, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return Job{}, fmt.Errorf("%s job %v: %w", verb, args[1], err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
	if notFound(err) == ErrNotFound {
		return j, fmt.Errorf("%s job %v: %w", verb, args[1], ErrConflict)
	}
	if err != nil {
		return j, fmt.Errorf("%s job %v: %w", verb, args[1], err)
	}
	return j, nil
}
