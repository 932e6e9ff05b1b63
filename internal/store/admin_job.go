package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A RiverRow is River's row of a job.
type RiverRow struct {
	ID          int64           `db:"id"`
	State       string          `db:"state"`
	Status      string          `db:"status"` // as the operator sees it
	Kind        string          `db:"kind"`
	Queue       string          `db:"queue"`
	Priority    int             `db:"priority"`
	Attempt     int             `db:"attempt"`
	MaxAttempts int             `db:"max_attempts"`
	Args        json.RawMessage `db:"args"`
	Metadata    json.RawMessage `db:"metadata"`
	Errors      json.RawMessage `db:"errors"` // a list of RiverError, or nil
	AttemptedBy []string        `db:"attempted_by"`
	CreatedAt   time.Time       `db:"created_at"`
	ScheduledAt time.Time       `db:"scheduled_at"`
	AttemptedAt *time.Time      `db:"attempted_at"`
	FinalizedAt *time.Time      `db:"finalized_at"`
}

// A RiverError is how an attempt failed, as River notes it.
type RiverError struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
	Trace   string    `json:"trace"`
}

// An AttemptRow is an attempt that is kept.
type AttemptRow struct {
	RiverJobID  *int64          `db:"river_job_id"`
	Run         int             `db:"run"`
	Attempt     int             `db:"attempt"`
	Worker      *string         `db:"worker"`
	Outcome     string          `db:"outcome"`
	Code        *string         `db:"code"`
	Error       *string         `db:"error"`
	Fingerprint *string         `db:"fingerprint"`
	TraceID     *string         `db:"trace_id"`
	Log         json.RawMessage `db:"log"`
	StartedAt   *time.Time      `db:"started_at"`
	EndedAt     time.Time       `db:"ended_at"`
}

// An EffectRow is an effect of a job with its times.
type EffectRow struct {
	Effect
	StartedAt  time.Time  `db:"started_at"`
	FinishedAt *time.Time `db:"finished_at"`
}

// An AdminJobDetail is a job with what belongs to it: Job for a requested one, River for an internal one, and for a
// requested one as long as River remembers it.
type AdminJobDetail struct {
	Status           string // as the operator sees it
	Job              *Job
	River            *RiverRow
	OrganizationName *string
	Attempts         []AttemptRow
	Effects          []EffectRow
}

const locateJob = `
WITH RECURSIVE found AS (
    (SELECT kind FROM jobs ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT j.kind FROM jobs j WHERE j.kind > found.kind ORDER BY j.kind LIMIT 1) FROM found WHERE found.kind IS NOT NULL
)
SELECT there.organization_id::text FROM found
CROSS JOIN LATERAL (SELECT organization_id FROM jobs WHERE jobs.kind = found.kind AND jobs.id = $1) AS there`

// OrganizationOfJob finds whose a job is of which only the id is known.
func OrganizationOfJob(ctx context.Context, tx pgx.Tx, id string) (organizationID string, err error) {
	if err := tx.QueryRow(ctx, locateJob, id).Scan(&organizationID); err != nil {
		return "", fmt.Errorf("find job %s: %w", id, notFound(err))
	}
	return organizationID, nil
}

const (
	riverRowColumns = `id, state::text AS state, ` + riverStatusShown + ` AS status, kind, queue, priority::integer AS priority,
    attempt::integer AS attempt, max_attempts::integer AS max_attempts, args, metadata, to_jsonb(errors) AS errors,
    coalesce(attempted_by, '{}') AS attempted_by, created_at, scheduled_at, attempted_at, finalized_at`
	selectStatusOfJob = `SELECT ` + statusShown + ` FROM jobs WHERE organization_id = $1 AND id = $2`
	selectRiverOfJob  = `
SELECT ` + riverRowColumns + ` FROM river_job WHERE id = (SELECT river_job_id FROM jobs WHERE organization_id = $1 AND jobs.id = $2)
UNION ALL
(SELECT ` + riverRowColumns + ` FROM river_job
 WHERE args @> jsonb_build_object('job_id', $2::text) AND (SELECT river_job_id IS NULL FROM jobs WHERE organization_id = $1 AND jobs.id = $2::uuid)
 ORDER BY river_job.id DESC LIMIT 1)`
	selectRiverRow   = `SELECT ` + riverRowColumns + ` FROM river_job WHERE id = $1`
	selectNameOf     = `SELECT name FROM organizations WHERE id = $1`
	attemptColumns   = `river_job_id, run, attempt, worker, outcome, code, error, fingerprint, trace_id, log, started_at, ended_at`
	selectAttemptsOf = `SELECT ` + attemptColumns + ` FROM job_attempts WHERE organization_id = $1 AND job_id = $2 ORDER BY job_attempts.id DESC LIMIT $3`
	selectAttemptsBy = `SELECT ` + attemptColumns + ` FROM job_attempts WHERE river_job_id = $1 AND job_id IS NULL ORDER BY job_attempts.id DESC LIMIT $2`
	selectEffectsOf  = `
SELECT effect_key, state, attempt, receipt, started_at, finished_at FROM job_effects
WHERE organization_id = $1 AND job_id = $2 ORDER BY started_at, effect_key LIMIT $3`
	mostOfDetail = 200
)

// ReadAdminJob reads a requested job with what belongs to it.
func ReadAdminJob(ctx context.Context, tx pgx.Tx, organizationID, id string) (AdminJobDetail, error) {
	d := AdminJobDetail{Job: &Job{}}
	b := &pgx.Batch{}
	b.Queue(selectJob, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		*d.Job, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
		return notFound(err)
	})
	b.Queue(selectStatusOfJob, organizationID, id).QueryRow(func(row pgx.Row) error { return notFound(row.Scan(&d.Status)) })
	b.Queue(selectRiverOfJob, organizationID, id).Query(d.scanRiver)
	b.Queue(selectNameOf, organizationID).QueryRow(d.scanName)
	b.Queue(selectAttemptsOf, organizationID, id, mostOfDetail).Query(d.scanAttempts)
	b.Queue(selectEffectsOf, organizationID, id, mostOfDetail).Query(func(rows pgx.Rows) (err error) {
		d.Effects, err = pgx.CollectRows(rows, pgx.RowToStructByName[EffectRow])
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return d, fmt.Errorf("read job %s: %w", id, err)
	}
	return d, nil
}

// ReadInternalJob reads an internal job with what belongs to it. One of a requested job is ErrNotFound: it is read by
// that job's own id.
func ReadInternalJob(ctx context.Context, tx pgx.Tx, id int64) (AdminJobDetail, error) {
	var d AdminJobDetail
	b := &pgx.Batch{}
	b.Queue(selectRiverRow, id).Query(d.scanRiver)
	b.Queue(selectAttemptsBy, id, mostOfDetail).Query(d.scanAttempts)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return d, fmt.Errorf("read River's job %d: %w", id, err)
	}
	if d.River == nil {
		return d, fmt.Errorf("read River's job %d: %w", id, ErrNotFound)
	}
	d.Status = d.River.Status
	if of := d.River.OrganizationID(); of != "" {
		if err := d.scanName(tx.QueryRow(ctx, selectNameOf, of)); err != nil {
			return d, fmt.Errorf("read the organization of River's job %d: %w", id, err)
		}
	}
	return d, nil
}

func (d *AdminJobDetail) scanRiver(rows pgx.Rows) error {
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[RiverRow])
	if err == nil && len(list) > 0 {
		d.River = &list[0]
	}
	return err
}

func (d *AdminJobDetail) scanName(row pgx.Row) error {
	var name string
	err := row.Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	d.OrganizationName = &name
	return err
}

func (d *AdminJobDetail) scanAttempts(rows pgx.Rows) (err error) {
	d.Attempts, err = pgx.CollectRows(rows, pgx.RowToStructByName[AttemptRow])
	return err
}

// OrganizationID is whose River's job is, "" for nobody's.
func (r RiverRow) OrganizationID() string { return r.arg("organization_id") }

// JobID is the requested job that it is River's row of, "" for an internal one.
func (r RiverRow) JobID() string { return r.arg("job_id") }

func (r RiverRow) arg(name string) string {
	var args map[string]json.RawMessage
	var text string
	if json.Unmarshal(r.Args, &args) != nil || json.Unmarshal(args[name], &text) != nil {
		return ""
	}
	return text
}

// Effects, calls and mails stay until they are cleaned up: they are the receipts of what happened, and of what it cost.
const deleteEndedJob = `
WITH gone AS (
    DELETE FROM jobs WHERE organization_id = $1 AND id = $2 AND finished_at IS NOT NULL
    RETURNING organization_id, id
), told AS (
    DELETE FROM job_events e USING gone WHERE e.organization_id = gone.organization_id AND e.job_id = gone.id
), attempts AS (
    DELETE FROM job_attempts a USING gone WHERE a.organization_id = gone.organization_id AND a.job_id = gone.id
)
SELECT FROM gone`

// DeleteEndedJob deletes a job that has ended, with its attempts and what it told those who followed it. What it did
// outside and what it cost stays on the books. One that has not ended is ErrConflict.
func DeleteEndedJob(ctx context.Context, tx pgx.Tx, organizationID, id string) error {
	tag, err := tx.Exec(ctx, deleteEndedJob, organizationID, id)
	if err != nil {
		return fmt.Errorf("delete job %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("delete job %s: %w", id, ErrConflict)
	}
	return nil
}
