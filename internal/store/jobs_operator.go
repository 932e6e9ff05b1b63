package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

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
