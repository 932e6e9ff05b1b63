package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// River's own statement for this serves many jobs of many outcomes, is planned anew at each call, and
// took most of the time of a small job. Naming the attempt also keeps out a worker that was taken for
// dead and comes back.
const completeRiverJob = `
UPDATE river_job SET state = 'completed', finalized_at = now()
WHERE id = $1 AND attempt = $2 AND state = 'running'`

// QueueRiverCompletion adds the completion of River's job to the batch that finishes our own: they are
// one commit. ErrConflict comes from the batch when the attempt is no longer River's present one.
func QueueRiverCompletion(b *pgx.Batch, id int64, attempt int) {
	b.Queue(completeRiverJob, id, attempt).Exec(oneRow)
}

const countRiverJobs = `
SELECT count(*), count(*) FILTER (WHERE queue = $1) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable', 'pending')`

// CountRiverJobs counts what waits in River's queues, and in one of them.
func CountRiverJobs(ctx context.Context, tx pgx.Tx, queue string) (all, there int, err error) {
	if err := tx.QueryRow(ctx, countRiverJobs, queue).Scan(&all, &there); err != nil {
		return 0, 0, fmt.Errorf("count what waits in queues: %w", err)
	}
	return all, there, nil
}
