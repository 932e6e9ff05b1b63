package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The operator looks over all organizations; an id that is known names its organization.
const selectAllJobs = `
SELECT ` + jobColumns + ` FROM jobs
WHERE ($1::text = '' OR organization_id = nullif($1, '')::uuid)
  AND ($2::text = '' OR status = $2)
  AND ($3::text = '' OR kind = $3)
ORDER BY id DESC
LIMIT $4`

// AllJobs lists jobs over organizations, newest first; "" is all of them.
func (db *DB) AllJobs(ctx context.Context, organizationID string, f JobFilter) ([]Job, error) {
	rows, err := db.pool.Query(ctx, selectAllJobs, organizationID, f.Status, f.Kind, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

const findJob = `SELECT ` + jobColumns + ` FROM jobs WHERE id = $1 LIMIT 1`

// FindJob reads a job by its id alone.
func (db *DB) FindJob(ctx context.Context, id string) (Job, error) {
	if _, err := uuid.Parse(id); err != nil {
		return Job{}, fmt.Errorf("read job %q: it is no id", id)
	}
	rows, err := db.pool.Query(ctx, findJob, id)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return j, fmt.Errorf("read job %s: %w", id, notFound(err))
	}
	return j, nil
}
