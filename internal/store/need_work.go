package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A RunOfJob names one run of a job.
type RunOfJob struct {
	OrganizationID string
	JobID          string
	Run            int
}

// River holds every job that waits or runs; its index of arguments finds it.
const needsWork = `
SELECT EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND run = $3 AND finished_at IS NULL)
   AND NOT EXISTS (SELECT FROM river_job
                   WHERE args @> jsonb_build_object('job_id', $2::text, 'run', $3::int)
                     AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled'))`

// NeedWork tells of each run of a job whether it has not ended, was not overtaken, and yet nobody will
// ever work on it.
func NeedWork(ctx context.Context, db interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}, runs []RunOfJob) ([]bool, error) {
	needs := make([]bool, len(runs))
	b := &pgx.Batch{}
	for i, r := range runs {
		b.Queue(needsWork, r.OrganizationID, r.JobID, r.Run).QueryRow(func(row pgx.Row) error { return row.Scan(&needs[i]) })
	}
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("look which jobs need work: %w", err)
	}
	return needs, nil
}
