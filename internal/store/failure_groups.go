package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A FailureSpan is a time to look back over, in parts for a small chart.
type FailureSpan struct {
	Length time.Duration
	Parts  int
}

// The spans that failures are grouped over.
var (
	LastHour = FailureSpan{time.Hour, 12}
	LastDay  = FailureSpan{24 * time.Hour, 24}
	LastWeek = FailureSpan{7 * 24 * time.Hour, 28}
)

// FailureSpans lists them, the shortest first.
func FailureSpans() []FailureSpan { return []FailureSpan{LastHour, LastDay, LastWeek} }

// MostLiveFailures are grouped when somebody looks; where there are more, a sampler does it in advance.
const MostLiveFailures = 20000

// A FailureFilter says which failures to group. Zero fields don't narrow.
type FailureFilter struct {
	Span           FailureSpan
	Kind           string
	Queue          string
	OrganizationID string
	Fingerprint    string
}

// A FailureGroup is all failures that have one cause.
type FailureGroup struct {
	Fingerprint   string          `db:"fingerprint"`
	Kind          string          `db:"kind"`
	Queue         string          `db:"queue"`
	Code          string          `db:"code"`
	Error         string          `db:"error"`    // of the newest
	Failed        int64           `db:"failed"`   // jobs that have failed for good
	Retrying      int64           `db:"retrying"` // jobs that have not ended
	Over          int64           `db:"over"`     // jobs that have ended otherwise since, or are gone
	Attempts      int64           `db:"attempts"`
	Organizations int64           `db:"organizations"`
	FirstAt       time.Time       `db:"first_at"`
	LastAt        time.Time       `db:"last_at"`
	Buckets       json.RawMessage `db:"buckets"` // {"0": 3}: failures by part of the span, the oldest first
	AsOf          time.Time       `db:"as_of"`
}

// Every is how many jobs the group is of.
func (g FailureGroup) Every() int64 { return g.Failed + g.Retrying + g.Over }

// The jobs of all failures are looked up one by one: a join would be planned as a walk over all jobs there are.
const groupFailures = `
WITH seen AS MATERIALIZED (
    SELECT fingerprint, id, kind, queue, code, organization_id, job_id, CASE WHEN job_id IS NULL THEN river_job_id END AS river_job_id,
           ended_at, floor(extract(epoch FROM now() - ended_at) * $2::int / extract(epoch FROM $1::interval))::int AS back
    FROM job_attempts
    WHERE fingerprint IS NOT NULL AND ended_at > now() - $1::interval AND ended_at <= now()%s
), affected AS (
    SELECT DISTINCT fingerprint, organization_id, job_id, river_job_id FROM seen
), standing AS (
    SELECT fingerprint, count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'unfinished') AS retrying,
           count(*) FILTER (WHERE status = 'over') AS over
    FROM affected a CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT CASE WHEN j.status = 'failed' THEN 'failed' WHEN j.finished_at IS NULL THEN 'unfinished' ELSE 'over' END
             FROM jobs j WHERE j.organization_id = a.organization_id AND j.id = a.job_id),
            (SELECT CASE WHEN r.state = 'discarded' THEN 'failed' WHEN r.finalized_at IS NULL THEN 'unfinished' ELSE 'over' END
             FROM river_job r WHERE r.id = a.river_job_id), 'over') AS status) AS now
    GROUP BY fingerprint
), counted AS (
    SELECT fingerprint, jsonb_object_agg(part, n) AS buckets
    FROM (SELECT fingerprint, $2::int - 1 - least(back, $2::int - 1) AS part, count(*) AS n FROM seen GROUP BY 1, 2) AS parts
    GROUP BY fingerprint
), grouped AS (
    SELECT fingerprint, max(kind) AS kind, max(queue) AS queue, coalesce(max(code), '') AS code, max(id) AS newest, count(*) AS attempts,
           count(DISTINCT organization_id) AS organizations, min(ended_at) AS first_at, max(ended_at) AS last_at
    FROM seen GROUP BY fingerprint
)
SELECT g.fingerprint, g.kind, g.queue, g.code, coalesce(e.error, '') AS error, s.failed, s.retrying, s.over, g.attempts, g.organizations,
       g.first_at, g.last_at, c.buckets, now() AS as_of
FROM grouped g
JOIN standing s USING (fingerprint)
JOIN counted c USING (fingerprint)
JOIN job_attempts e ON e.id = g.newest`

// FailureGroups groups the failures of a span, in no order. Above MostLiveFailures it gives what the sampler counted
// last, which knows nothing of organizations: a filter by one is asked of the table in any case.
func FailureGroups(ctx context.Context, tx pgx.Tx, f FailureFilter) (groups []FailureGroup, sampled bool, err error) {
	if f.OrganizationID == "" {
		many, err := manyFailures(ctx, tx, f.Span)
		if err != nil {
			return nil, false, err
		}
		if many {
			groups, err := sampledGroups(ctx, tx, f)
			if err != nil || len(groups) > 0 {
				return groups, true, err
			}
		}
	}
	conditions, args := f.conditions()
	sql := fmt.Sprintf(groupFailures, conditions)
	// Described and not prepared: each statement is planned for its values.
	rows, err := tx.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe, f.Span.Length, f.Span.Parts}, args...)...)
	return collectGroups(rows, err)
}

func collectGroups(rows pgx.Rows, err error) ([]FailureGroup, bool, error) {
	if err != nil {
		return nil, false, fmt.Errorf("group failures: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByName[FailureGroup])
	if err != nil {
		return nil, false, fmt.Errorf("group failures: %w", err)
	}
	return groups, false, nil
}

// conditions are those of the filter, behind the two of the span.
func (f FailureFilter) conditions() (sql string, args []any) {
	for column, value := range map[string]string{"kind = ?": f.Kind, "queue = ?": f.Queue, "organization_id = ?::text::uuid": f.OrganizationID,
		"fingerprint = ?": f.Fingerprint} {
		if value != "" {
			args = append(args, value)
			sql += " AND " + strings.ReplaceAll(column, "?", "$"+strconv.Itoa(len(args)+2))
		}
	}
	return sql, args
}

const countFailures = `
SELECT count(*) FROM (
    SELECT FROM job_attempts WHERE fingerprint IS NOT NULL AND ended_at > now() - $1::interval LIMIT $2) AS counted`

func manyFailures(ctx context.Context, tx pgx.Tx, s FailureSpan) (bool, error) {
	var n int
	if err := tx.QueryRow(ctx, countFailures, s.Length, MostLiveFailures+1).Scan(&n); err != nil {
		return false, fmt.Errorf("count failures: %w", err)
	}
	return n > MostLiveFailures, nil
}

const selectSampledGroups = `
SELECT fingerprint, kind, queue, coalesce(code, '') AS code, coalesce(error, '') AS error, failed, retrying, over, attempts,
       organizations, first_at, last_at, buckets, as_of
FROM failure_groups
WHERE span = $1 AND as_of > now() - $2::interval AND ($3 = '' OR kind = $3) AND ($4 = '' OR queue = $4) AND ($5 = '' OR fingerprint = $5)`

// A sample that is older than that tells more of the sampler than of the failures.
const oldestSample = time.Hour

func sampledGroups(ctx context.Context, tx pgx.Tx, f FailureFilter) ([]FailureGroup, error) {
	rows, err := tx.Query(ctx, selectSampledGroups, f.Span.Length, oldestSample, f.Kind, f.Queue, f.Fingerprint)
	groups, _, err := collectGroups(rows, err)
	return groups, err
}

const ageOfSample = `SELECT coalesce(now() - max(as_of), interval '1 year') FROM failure_groups WHERE span = $1`

const replaceSample = `
INSERT INTO failure_groups (span, fingerprint, kind, queue, code, error, failed, retrying, over, attempts, organizations, first_at,
                            last_at, buckets, as_of)
SELECT $1, fingerprint, kind, queue, code, error, failed, retrying, over, attempts, organizations, first_at, last_at, buckets, as_of
FROM (` + groupFailures + `) AS groups ORDER BY last_at DESC LIMIT 1000`

// SampleFailures counts the groups of a span anew where there are too many failures to do so whenever somebody looks, and
// the last count is that old; where there are few again it forgets them. It reports whether it counted.
func SampleFailures(ctx context.Context, tx pgx.Tx, s FailureSpan, every time.Duration) (bool, error) {
	many, err := manyFailures(ctx, tx, s)
	if err != nil {
		return false, err
	}
	var age time.Duration
	if err := tx.QueryRow(ctx, ageOfSample, s.Length).Scan(&age); err != nil {
		return false, fmt.Errorf("look how old the groups of failures are: %w", err)
	}
	if many && age < every {
		return false, nil
	}
	if _, err := tx.Exec(ctx, `DELETE FROM failure_groups WHERE span = $1`, s.Length); err != nil {
		return false, fmt.Errorf("forget groups of failures: %w", err)
	}
	if !many {
		return false, nil
	}
	_, err = tx.Exec(ctx, fmt.Sprintf(replaceSample, ""), pgx.QueryExecModeCacheDescribe, s.Length, s.Parts)
	if err != nil {
		return false, fmt.Errorf("sample groups of failures: %w", err)
	}
	return true, nil
}

// A FailedAttempt is one of a group's failures.
type FailedAttempt struct {
	ID             int64     `db:"id"`
	Kind           string    `db:"kind"`
	Queue          string    `db:"queue"`
	Code           *string   `db:"code"`
	OrganizationID string    `db:"organization_id"`
	Organization   *string   `db:"organization"`
	JobID          *string   `db:"job_id"`
	RiverJobID     *int64    `db:"river_job_id"`
	Run            int       `db:"run"`
	Attempt        int       `db:"attempt"`
	Outcome        string    `db:"outcome"`
	Error          *string   `db:"error"`
	Worker         *string   `db:"worker"`
	EndedAt        time.Time `db:"ended_at"`
	Status         *string   `db:"status"` // of the job now; nil: it is gone
}

const newestOfGroup = `
SELECT a.id, a.kind, a.queue, a.code, a.organization_id::text, o.name AS organization, a.job_id::text, a.river_job_id, a.run, a.attempt, a.outcome, a.error, a.worker, a.ended_at,
       coalesce((SELECT ` + jobStateNow + ` FROM jobs j WHERE j.organization_id = a.organization_id AND j.id = a.job_id),
                (SELECT ` + riverStateNow + ` FROM river_job r WHERE r.id = a.river_job_id AND a.job_id IS NULL)) AS status
FROM (SELECT * FROM job_attempts WHERE fingerprint = $1 ORDER BY id DESC LIMIT $2) AS a
LEFT JOIN organizations o ON o.id = a.organization_id
ORDER BY a.id DESC`

const (
	jobStateNow = `CASE WHEN j.finished_at IS NOT NULL THEN j.status WHEN j.waiting_reason IS NOT NULL THEN 'waiting'
        WHEN j.status = 'queued' AND j.run_at > now() THEN 'scheduled' ELSE j.status END`
	riverStateNow = `CASE r.state WHEN 'available' THEN 'queued' WHEN 'pending' THEN 'queued' WHEN 'retryable' THEN 'waiting'
        WHEN 'scheduled' THEN CASE WHEN r.attempted_at IS NULL THEN 'scheduled' ELSE 'waiting' END
        WHEN 'running' THEN 'running' WHEN 'completed' THEN 'succeeded' WHEN 'discarded' THEN 'failed' ELSE 'cancelled' END`
)

// NewestFailures lists the newest failures of a group.
func NewestFailures(ctx context.Context, tx pgx.Tx, fingerprint string, limit int) ([]FailedAttempt, error) {
	rows, err := tx.Query(ctx, newestOfGroup, fingerprint, limit)
	if err != nil {
		return nil, fmt.Errorf("list failures of %s: %w", fingerprint, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[FailedAttempt])
	if err != nil {
		return nil, fmt.Errorf("list failures of %s: %w", fingerprint, err)
	}
	return list, nil
}
