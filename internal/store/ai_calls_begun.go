package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Lost is the outcome of a call of which nobody knows how it ended, as the process that made it died.
const Lost = "lost"

// A BegunCall is a call of a provider that is under way.
type BegunCall struct {
	ID             string // that it will have in ai_calls
	Attempt        int    // of the job
	Kind           string
	Provider       string
	Model          string
	FallbackReason string // why this provider is asked, "" for the first choice
	StartedAt      time.Time
}

// Whoever lost its hold leaves nothing behind that it would not come back to take away. The lock that the
// events' statement has taken keeps the hold.
const insertBegunCall = `
INSERT INTO ai_calls_begun (organization_id, id, job_id, attempt, kind, provider, model, fallback_reason, started_at)
SELECT $1, $4, $2, $5, $6, $7, $8, nullif($9, ''), $10
FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running'
ON CONFLICT DO NOTHING`

func queueBegunCalls(b *pgx.Batch, h Hold, calls []BegunCall) {
	for _, c := range calls {
		b.Queue(insertBegunCall, h.OrganizationID, h.JobID, h.Lease, c.ID, c.Attempt, c.Kind, c.Provider, c.Model,
			c.FallbackReason, c.StartedAt)
	}
}

// Rows are taken from ai_calls_begun; those that ai_calls doesn't have are written down as lost, with the
// time to the process's last sign of life. Who else takes them at the same time is not waited for: it may hold
// what we would wait with.
const (
	takeBegun = `
WITH ended AS (
    DELETE FROM ai_calls_begun b USING (
        SELECT organization_id, id FROM ai_calls_begun b WHERE `
	loseUntil = `
        FOR UPDATE SKIP LOCKED
    ) AS taken
    WHERE b.organization_id = taken.organization_id AND b.id = taken.id
    RETURNING b.*
)
INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, detail, fallback_reason,
                      started_at, run_ms)
SELECT organization_id, id, job_id, attempt, kind, provider, model, 'lost', 'nobody knows how it ended', fallback_reason,
       started_at, least(greatest(coalesce(1000 * extract(epoch FROM `
	endLost = `::timestamptz - started_at), 0), 0), 2147483647)::integer
FROM ended
ON CONFLICT DO NOTHING`
)

// Calls of this attempt are in ai_calls by now, unless its work panicked. Those of others belong to attempts
// before it, as long as nobody holds the job after it.
const settleBegunCalls = takeBegun + `b.organization_id = $1 AND b.job_id = $2 AND (b.id = ANY($4) OR EXISTS (
            SELECT FROM jobs j WHERE j.organization_id = $1 AND j.id = $2 AND j.lease = $3))` + loseUntil + `NULL` + endLost

// QueueSettleCalls adds the end of a job's calls under way to a batch, behind the records of those that ended:
// own are the attempt's. What no record tells of is written down as lost.
func QueueSettleCalls(b *pgx.Batch, h Hold, own []string) {
	b.Queue(settleBegunCalls, h.OrganizationID, h.JobID, h.Lease, own)
}

const loseCallsOfJob = takeBegun + `b.organization_id = $1 AND b.job_id = $2` + loseUntil + `$3` + endLost

// LoseCalls writes down as lost what is under way for a job whose process is dead since alive, its last sign of
// life; nil: not known.
func LoseCalls(ctx context.Context, tx pgx.Tx, organizationID, jobID string, alive *time.Time) error {
	if _, err := tx.Exec(ctx, loseCallsOfJob, organizationID, jobID, alive); err != nil {
		return fmt.Errorf("lose calls of job %s: %w", jobID, err)
	}
	return nil
}

// A job that waits for its next attempt runs nowhere; a call takes half an hour in no attempt.
const loseOldCalls = takeBegun + `b.started_at < $1 AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.organization_id = b.organization_id AND j.id = b.job_id
            AND j.status = 'running' AND j.waiting_reason IS NULL)
        LIMIT $2` + loseUntil + `NULL` + endLost
