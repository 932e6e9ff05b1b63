package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// AllJobs lists jobs over all organizations, newest first. No index holds them in that order; it looks
// at the last hour, then further back, until there are enough.
func (db *DB) AllJobs(ctx context.Context, f JobFilter) ([]Job, error) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour, 0} {
		window := f
		if since := time.Now().Add(-back); back > 0 && since.After(f.CreatedAfter) {
			window.CreatedAfter = since
		}
		jobs, err := db.someJobs(ctx, window)
		if err != nil || len(jobs) >= f.Limit || back == 0 {
			return jobs, err
		}
	}
	return nil, nil
}

func (db *DB) someJobs(ctx context.Context, f JobFilter) ([]Job, error) {
	sql, args := f.query()
	rows, err := db.pool.Query(ctx, fmt.Sprintf(sql, "true"), args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

const findJob = `
SELECT ` + jobColumns + ` FROM jobs
WHERE id = $1 AND created_at BETWEEN $2::timestamptz - $3::interval AND $2::timestamptz + $3::interval`

// FindJob reads a job by its id alone. The id is a UUIDv7 and tells when the job was made, so the
// organization is not needed to find it quickly.
func (db *DB) FindJob(ctx context.Context, id string) (Job, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return Job{}, fmt.Errorf("read job %q: that is no id of a job", id)
	}
	seconds, nanos := parsed.Time().UnixTime()
	rows, err := db.pool.Query(ctx, findJob, id, time.Unix(seconds, nanos), idSlack)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	j, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return j, fmt.Errorf("read job %s: %w", id, notFound(err))
	}
	return j, nil
}
