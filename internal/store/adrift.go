package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An Adrift is an unfinished job that River does not, or will not, work.
type Adrift struct {
	Job   Job
	State string // of River's row: cancelled, discarded, or "" when the row is gone
}

// Somebody cancelled or discarded the work by River's own means, and nothing else works for the job.
const endedInRiver = `
SELECT ` + jobColumns + `, river_state
FROM jobs
JOIN (SELECT state::text AS river_state, (args ->> 'organization_id')::uuid AS river_organization,
             (args ->> 'job_id')::uuid AS river_job, (args ->> 'run')::int AS river_run
      FROM river_job
      WHERE state IN ('cancelled', 'discarded') AND args ? 'job_id'
        AND finalized_at BETWEEN now() - interval '1 day' AND now() - $1::interval) AS ended
    ON organization_id = river_organization AND jobs.id = river_job AND run = river_run
WHERE finished_at IS NULL` + noOtherWork

// The row that worked for the job is gone.
const goneFromRiver = `
SELECT ` + jobColumns + `, '' AS river_state
FROM jobs
WHERE finished_at IS NULL AND river_job_id IS NOT NULL AND updated_at < now() - $1::interval
  AND NOT EXISTS (SELECT FROM river_job r WHERE r.id = jobs.river_job_id)` + noOtherWork

const noOtherWork = `
  AND NOT EXISTS (SELECT FROM river_job o WHERE o.args @> jsonb_build_object('job_id', jobs.id::text)
                  AND o.state NOT IN ('cancelled', 'discarded', 'completed'))
ORDER BY jobs.id LIMIT 200
FOR UPDATE OF jobs SKIP LOCKED`

// JobsAdrift locks unfinished jobs whose work River has ended or lost, for at least so long. An
// operator's other tools can do that, and no crash may.
func JobsAdrift(ctx context.Context, tx pgx.Tx, settled time.Duration) ([]Adrift, error) {
	var list []Adrift
	for _, sql := range []string{endedInRiver, goneFromRiver} {
		rows, err := tx.Query(ctx, sql, settled)
		if err != nil {
			return nil, fmt.Errorf("look for jobs adrift: %w", err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Adrift, error) {
			j, err := pgx.RowToStructByName[struct {
				Job
				State string `db:"river_state"`
			}](row)
			return Adrift{Job: j.Job, State: j.State}, err
		})
		if err != nil {
			return nil, fmt.Errorf("look for jobs adrift: %w", err)
		}
		list = append(list, found...)
	}
	return list, nil
}
