package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A JobAttempt is how one attempt of a job ended, kept for the operator.
type JobAttempt struct {
	OrganizationID string // "": nobody's, which is the operator's
	JobID          string // "": no client asked for it
	RiverJobID     int64  // 0: the job ended before it was worked
	Kind           string
	Queue          string
	Run            int
	Attempt        int
	Worker         string
	Outcome        string // of job_attempts: succeeded, failed, retried, waiting, cancelled, returned, lost
	Code           string
	Error          string // or why it waits; cut to what the table takes
	Fingerprint    string // of a failure, else ""
	WaitCause      string // of a wait, else ""
	TraceID        string
	Log            json.RawMessage // a list, or nil
	StartedAt      time.Time       // zero: nobody knows
}

const insertJobAttempt = `
INSERT INTO job_attempts (organization_id, job_id, river_job_id, kind, queue, run, attempt, worker, outcome, code, error,
                          fingerprint, wait_cause, trace_id, log, started_at, ended_at)
SELECT coalesce(nullif($1::text, ''), '` + OperatorOrganization + `')::uuid, nullif($2::text, '')::uuid, nullif($3::bigint, 0), $4::text,
       $5::text, $6::int, $7::int, nullif($8::text, ''), $9::text, nullif($10::text, ''), nullif($11::text, ''),
       nullif($12::text, ''), nullif($13::text, ''), nullif($14::text, ''), $15::jsonb, $16::timestamptz, clock_timestamp()`

// A wait like the one before it says nothing new: a job that waits for hours would leave thousands of rows.
const insertJobWait = insertJobAttempt + `
WHERE $13::text IS DISTINCT FROM (
    SELECT l.wait_cause FROM job_attempts l
    WHERE l.organization_id = $1::text::uuid AND l.job_id = $2::text::uuid AND l.run = $6::int ORDER BY l.id DESC LIMIT 1)`

const insertInternalWait = insertJobAttempt + `
WHERE $13::text IS DISTINCT FROM (
    SELECT l.wait_cause FROM job_attempts l WHERE l.river_job_id = $3::bigint ORDER BY l.id DESC LIMIT 1)`

// QueueJobAttempt adds an attempt to the batch that ends it. A wait for the reason of the wait before it leaves nothing.
func QueueJobAttempt(b *pgx.Batch, a JobAttempt) { b.Queue(a.insert(), a.args()...) }

// InsertJobAttempt writes an attempt down by itself.
func InsertJobAttempt(ctx context.Context, db Execer, a JobAttempt) error {
	if _, err := db.Exec(ctx, a.insert(), a.args()...); err != nil {
		return fmt.Errorf("note attempt %d of %s %s: %w", a.Attempt, a.Kind, a.JobID, err)
	}
	return nil
}

func (a JobAttempt) insert() string {
	switch {
	case a.WaitCause == "":
		return insertJobAttempt
	case a.JobID == "":
		return insertInternalWait
	}
	return insertJobWait
}

func (a JobAttempt) args() []any {
	var started *time.Time
	if !a.StartedAt.IsZero() {
		started = &a.StartedAt
	}
	return []any{a.OrganizationID, a.JobID, a.RiverJobID, a.Kind, a.Queue, a.Run, a.Attempt, Storable(a.Worker, maxWord), a.Outcome,
		Storable(a.Code, maxWord), Storable(a.Error, maxAttemptError), a.Fingerprint, a.WaitCause, Storable(a.TraceID, maxWord),
		a.Log, started}
}

const (
	maxAttemptError = 8 << 10 // as the table checks
	maxWord         = 255
)

// Storable is a text as Postgres takes it, UTF-8 without NUL, of so many bytes at most; what is cut off is said.
func Storable(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= most {
		return s
	}
	const cut = "…"
	end := most - len(cut)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cut
}

const deleteJobAttempts = `
DELETE FROM job_attempts WHERE ctid IN (
    SELECT a.ctid FROM job_attempts a WHERE a.ended_at < $1 LIMIT $2)`

const deleteInternalAttempts = `
DELETE FROM job_attempts WHERE ctid IN (
    SELECT a.ctid FROM job_attempts a WHERE a.ended_at < $1 AND a.job_id IS NULL LIMIT $2)`
