package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Retention says how long things are kept after their use is over.
type Retention struct {
	IdempotencyKeys time.Duration
	JobEvents       time.Duration // after the job's end
	Jobs            time.Duration // after their end, with effects, attempts, calls and mails; of deleted ones, after those
	APIKeys         time.Duration // after revocation or expiry
	BegunCalls      time.Duration // of providers, whose process died; they become lost ones
	UsageHours      time.Duration // of models, added up
	Suppressions    time.Duration // after their expiry
	InternalJobs    time.Duration // attempts of jobs that no client asked for
	Webhooks        time.Duration // deliveries after their end, endpoints after their deletion, lanes after their last use
}

// deleteAtOnce keeps a transaction short and its locks few.
const deleteAtOnce = 5000

const deleteIdempotencyKeys = `
DELETE FROM idempotency_keys WHERE ctid IN (
    SELECT ctid FROM idempotency_keys WHERE created_at < $1 LIMIT $2)`

// The last one stays as long as the job: its number is the one before the end's, by which a client that
// comes back is told that it has missed the end.
const deleteJobEvents = `
DELETE FROM job_events WHERE ctid IN (
    SELECT e.ctid FROM job_events e
    WHERE e.created_at < $1
      AND e.seq < (SELECT max(l.seq) FROM job_events l WHERE l.organization_id = e.organization_id AND l.job_id = e.job_id)
      AND NOT EXISTS (
        SELECT FROM jobs j WHERE j.organization_id = e.organization_id AND j.id = e.job_id
        AND (j.finished_at IS NULL OR j.finished_at >= $1))
    LIMIT $2)`

// A job's children go first, so that none is left behind when the process dies in between. One with a call that
// is not added up yet stays.
const deleteJobs = `
WITH old AS (
    SELECT organization_id, id FROM jobs j WHERE created_at < $1 AND finished_at < $1
    AND NOT EXISTS (
        SELECT FROM ai_calls c WHERE c.organization_id = j.organization_id AND c.job_id = j.id
        AND c.created_at >= (SELECT until FROM ai_usage_until))
    LIMIT $2 FOR UPDATE SKIP LOCKED
), effects AS (
    DELETE FROM job_effects e USING old WHERE e.organization_id = old.organization_id AND e.job_id = old.id
), calls AS (
    DELETE FROM ai_calls c USING old WHERE c.organization_id = old.organization_id AND c.job_id = old.id
), mails AS (
    DELETE FROM mail_messages m USING old WHERE m.organization_id = old.organization_id AND m.id = old.id
), told AS (
    DELETE FROM job_events t USING old WHERE t.organization_id = old.organization_id AND t.job_id = old.id
), attempts AS (
    DELETE FROM job_attempts a USING old WHERE a.organization_id = old.organization_id AND a.job_id = old.id
)
DELETE FROM jobs j USING old WHERE j.organization_id = old.organization_id AND j.id = old.id`

// Of jobs that an operator has deleted.
const deleteStrayCalls = `
DELETE FROM ai_calls WHERE ctid IN (
    SELECT c.ctid FROM ai_calls c
    WHERE c.created_at < $1 AND c.created_at < (SELECT until FROM ai_usage_until)
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = c.organization_id AND j.id = c.job_id)
    LIMIT $2)`

// Of such jobs as well, and mails that were noted and never had a job. Their ids are those of the jobs, and tell the time:
// there is an index over them.
const deleteStrayMails = `
DELETE FROM mail_messages WHERE ctid IN (
    SELECT m.ctid FROM mail_messages m
    WHERE m.created_at < $1
      AND m.id < (lpad(to_hex((extract(epoch FROM $1::timestamptz) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = m.organization_id AND j.id = m.id)
    LIMIT $2)`

const deleteStrayEffects = `
DELETE FROM job_effects WHERE ctid IN (
    SELECT e.ctid FROM job_effects e
    WHERE e.started_at < $1
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = e.organization_id AND j.id = e.job_id)
    LIMIT $2)`

const deleteAPIKeys = `
DELETE FROM api_keys WHERE ctid IN (
    SELECT ctid FROM api_keys WHERE least(revoked_at, expires_at) < $1 LIMIT $2)`

// What was swept has been counted; it is kept while its job is, see sweepAI.
const deleteAIReservations = `
DELETE FROM ai_reservations r
WHERE created_at = 'infinity'
  AND NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = r.organization_id AND j.id = r.job_id)`

const deleteUsageHours = `
DELETE FROM ai_usage_hours WHERE ctid IN (
    SELECT ctid FROM ai_usage_hours WHERE hour < $1 LIMIT $2)`

const deleteSuppressions = `
DELETE FROM mail_suppressions WHERE ctid IN (
    SELECT ctid FROM mail_suppressions WHERE expires_at < $1 LIMIT $2)`

// CleanUp deletes what is older than its retention, a few thousand rows at a time.
func (db *DB) CleanUp(ctx context.Context, r Retention) error {
	now := time.Now()
	for _, step := range []struct {
		what, sql string
		kept      time.Duration
	}{
		{"idempotency keys", deleteIdempotencyKeys, r.IdempotencyKeys},
		{"job events", deleteJobEvents, r.JobEvents},
		{"calls under way", loseOldCalls, r.BegunCalls},
		{"jobs", deleteJobs, r.Jobs},
		{"calls of deleted jobs", deleteStrayCalls, r.Jobs},
		{"mails of deleted jobs", deleteStrayMails, r.Jobs},
		{"effects of deleted jobs", deleteStrayEffects, r.Jobs},
		{"attempts", deleteJobAttempts, r.Jobs},
		{"bulk actions", deleteBulkActions, r.Jobs},
		{"attempts of internal jobs", deleteInternalAttempts, r.InternalJobs},
		{"usage", deleteUsageHours, r.UsageHours},
		{"API keys", deleteAPIKeys, r.APIKeys},
		{"suppressions", deleteSuppressions, r.Suppressions},
		{"deliveries", deleteWebhookDeliveries, r.Webhooks},
		{"events of webhooks", deleteWebhookEvents, r.Webhooks},
		{"webhooks", deleteWebhookEndpoints, r.Webhooks},
		{"lanes of webhooks", deleteWebhookLanes, r.Webhooks},
	} {
		if err := db.deleteAll(ctx, step.sql, now.Add(-step.kept)); err != nil {
			return fmt.Errorf("clean up %s: %w", step.what, err)
		}
	}
	if _, err := db.exec(ctx, deleteAIReservations); err != nil {
		return fmt.Errorf("clean up reservations: %w", err)
	}
	return nil
}

func (db *DB) deleteAll(ctx context.Context, sql string, before time.Time) error {
	for {
		tag, err := db.exec(ctx, sql, before, deleteAtOnce)
		if err != nil {
			return err
		}
		if tag.RowsAffected() < deleteAtOnce {
			return nil
		}
	}
}

func (db *DB) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = db.with(ctx, func(conn *pgxpool.Conn) error {
		tag, err = conn.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}
