package store

import "github.com/jackc/pgx/v5"

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
