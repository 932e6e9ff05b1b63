package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A JobEvent is one thing that a client that follows a job is told.
type JobEvent struct {
	Seq  int64           `db:"seq"`
	Type string          `db:"type"` // status, provider, token, reset or progress
	Data json.RawMessage `db:"data"`
}

// The lock keeps the job from ending between the look and the commit: an ended job has all its events.
// Writing them twice does nothing, as the answer to the first time may have been lost.
const insertJobEvents = `
WITH held AS (
    SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running' FOR SHARE
), told AS (
    INSERT INTO job_events (organization_id, job_id, seq, type, data)
    SELECT $1, $2, seq, type, data
    FROM unnest($4::bigint[], $5::text[], $6::json[]) AS e (seq, type, data)
    WHERE EXISTS (SELECT FROM held)
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM held)`

// AppendJobEvents writes events of a held job, and calls that it has begun. ErrConflict when the hold is lost,
// and then nothing is written.
func AppendJobEvents(ctx context.Context, db *DB, h Hold, events []JobEvent, begun ...BegunCall) error {
	seqs := make([]int64, len(events))
	types := make([]string, len(events))
	data := make([]string, len(events))
	for i, e := range events {
		seqs[i], types[i], data[i] = e.Seq, e.Type, string(e.Data)
	}
	b := &pgx.Batch{}
	b.Queue(insertJobEvents, h.OrganizationID, h.JobID, h.Lease, seqs, types, data).QueryRow(func(row pgx.Row) error {
		var held bool
		err := row.Scan(&held)
		if err == nil && !held {
			err = ErrConflict
		}
		return err
	})
	queueBegunCalls(b, h, begun)
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("append events of job %s: %w", h.JobID, err)
	}
	return nil
}

const lastJobEvent = `
SELECT coalesce(max(seq), 0), coalesce(max(seq) FILTER (WHERE type = 'token'), 0) >
                              coalesce(max(seq) FILTER (WHERE type = 'reset'), 0)
FROM job_events WHERE organization_id = $1 AND job_id = $2`

// LastJobEvent gives the number of a job's last event, and whether text was sent that no reset has
// withdrawn.
func LastJobEvent(ctx context.Context, db Execer, organizationID, jobID string) (seq int64, text bool, err error) {
	if err := db.QueryRow(ctx, lastJobEvent, organizationID, jobID).Scan(&seq, &text); err != nil {
		return 0, false, fmt.Errorf("read the last event of job %s: %w", jobID, err)
	}
	return seq, text, nil
}

const toldSince = `
SELECT EXISTS (SELECT FROM job_events WHERE organization_id = $1 AND job_id = $2 AND seq = $3 AND created_at >= $4)`

// ToldSince reports whether a job's event with a number was written since a time of the database, such as
// the start of the job's present run.
func ToldSince(ctx context.Context, db Execer, organizationID, jobID string, seq int64, t time.Time) (told bool, err error) {
	if err := db.QueryRow(ctx, toldSince, organizationID, jobID, seq, t).Scan(&told); err != nil {
		return false, fmt.Errorf("read event %d of job %s: %w", seq, jobID, err)
	}
	return told, nil
}

const selectJobEvents = `
SELECT seq, type, data FROM job_events
WHERE organization_id = $1 AND job_id = $2 AND seq > $3
ORDER BY seq LIMIT $4`

// JobWithEvents reads a job and its events behind a number, in one snapshot's order: the events are
// read after the job, so that an ended job comes with all of its events.
func (db *DB) JobWithEvents(ctx context.Context, organizationID, id string, after int64, limit int) (Job, []JobEvent, error) {
	var j Job
	var events []JobEvent
	b := BatchAs(organizationID)
	b.Queue(selectJob, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Job])
		return notFound(err)
	})
	b.Queue(selectJobEvents, organizationID, id, after, limit).Query(func(rows pgx.Rows) (err error) {
		events, err = pgx.CollectRows(rows, pgx.RowToStructByName[JobEvent])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return j, nil, fmt.Errorf("read job %s and its events: %w", id, err)
	}
	return j, events, nil
}
