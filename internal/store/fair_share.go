package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// An OrganizationQueue is one organization's part of one queue.
type OrganizationQueue struct {
	OrganizationID string
	Queue          string
}

// AdmittedJobs is CountAdmitted for who sees all organizations.
func AdmittedJobs(ctx context.Context, db Execer, of OrganizationQueue, limit int) (n int, err error) {
	if err := db.QueryRow(ctx, countAdmitted, of.OrganizationID, of.Queue, limit).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unfinished jobs of %s: %w", of.OrganizationID, err)
	}
	return n, nil
}

// Steps from one organization and queue to the next by index, however many jobs each has. Only queues
// count in which somebody's fair place is taken, or where an organization is in more of a hurry with one
// of its own: elsewhere the overflow runs without help.
const overflowingOrganizations = `
WITH RECURSIVE step AS (
    (SELECT organization_id, queue FROM jobs
     WHERE overflow AND finished_at IS NULL
     ORDER BY organization_id, queue LIMIT 1)
    UNION ALL
    SELECT following.organization_id, following.queue
    FROM step, LATERAL (
        SELECT organization_id, queue FROM jobs
        WHERE overflow AND finished_at IS NULL
          AND (organization_id, queue) > (step.organization_id, step.queue)
        ORDER BY organization_id, queue LIMIT 1) AS following
)
SELECT organization_id::text, queue FROM step
WHERE EXISTS (SELECT FROM river_job r
              WHERE r.state = 'available' AND r.queue = step.queue AND r.priority < 4 AND r.scheduled_at <= now())
   OR EXISTS (SELECT FROM jobs hurry
              WHERE hurry.organization_id = step.organization_id AND hurry.queue = step.queue AND hurry.overflow
                AND hurry.finished_at IS NULL AND hurry.priority = 1 AND hurry.run_at <= now())`

// OverflowingOrganizations lists who has more unfinished jobs in a queue than its share, where others
// wait in that queue.
func OverflowingOrganizations(ctx context.Context, tx pgx.Tx) ([]OrganizationQueue, error) {
	rows, err := tx.Query(ctx, overflowingOrganizations)
	if err != nil {
		return nil, fmt.Errorf("look for overflowing queues: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OrganizationQueue])
	if err != nil {
		return nil, fmt.Errorf("look for overflowing queues: %w", err)
	}
	return list, nil
}

// The most urgent and among them the oldest that have reached River go first: one that takes a place and keeps its priority there, as
// its event is still under way, would hold the place against the others.
const promoteJobs = `
WITH room AS (
    SELECT greatest($3 - count(*), 0) AS places FROM (
        SELECT FROM jobs
        WHERE organization_id = $1 AND queue = $2 AND finished_at IS NULL AND NOT overflow
        LIMIT $3) AS admitted
), next AS (
    SELECT id, priority FROM jobs
    WHERE organization_id = $1 AND queue = $2 AND overflow AND finished_at IS NULL AND status = 'queued'
      AND run_at <= now()
    ORDER BY priority, id LIMIT (SELECT CASE WHEN places > 0 THEN places + 50 ELSE 0 END FROM room)
    FOR UPDATE SKIP LOCKED
), reached AS (
    SELECT next.id, next.priority, work.id AS work_id
    FROM next, LATERAL (
        SELECT id FROM river_job
        WHERE args @> jsonb_build_object('job_id', next.id::text)
          AND state = 'available' AND queue = $2 AND river_job.priority = 4 LIMIT 1) AS work
    ORDER BY next.priority, next.id LIMIT (SELECT places FROM room)
), moved AS (
    UPDATE river_job SET priority = reached.priority, scheduled_at = now()
    FROM reached
    WHERE river_job.id = reached.work_id AND river_job.state = 'available'
    RETURNING reached.id
)
UPDATE jobs SET overflow = false WHERE organization_id = $1 AND id IN (SELECT id FROM moved)`

// PromoteJobs fills an organization's free places in a queue with its most urgent jobs beyond them.
func PromoteJobs(ctx context.Context, tx pgx.Tx, organizationID, queue string, share int) error {
	if _, err := tx.Exec(ctx, promoteJobs, organizationID, queue, share); err != nil {
		return fmt.Errorf("promote jobs of %s in %s: %w", organizationID, queue, err)
	}
	return nil
}
