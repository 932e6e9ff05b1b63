package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A Listener is an endpoint that wants to hear of an organization's facts, and of which: types, noun.* or *.
type Listener struct {
	OrganizationID string   `db:"organization_id"`
	EndpointID     string   `db:"id"`
	Events         []string `db:"events"`
}

const selectListeners = `
SELECT organization_id::text, id::text, events FROM webhook_endpoints
WHERE organization_id = ANY($1::uuid[]) AND status = 'enabled' AND deleted_at IS NULL
ORDER BY organization_id, id`

// QueueListeners adds the search for those who listen to some organizations to a batch, whoever else changes endpoints
// meanwhile: who was there when a fact was stated is found, as the statement sees all that was committed before it.
func QueueListeners(b *pgx.Batch, organizations []string, found *[]Listener) {
	b.Queue(selectListeners, organizations).Query(func(rows pgx.Rows) (err error) {
		if *found, err = pgx.CollectRows(rows, pgx.RowToStructByName[Listener]); err != nil {
			return fmt.Errorf("look who listens: %w", err)
		}
		return nil
	})
}

const selectListener = `
SELECT organization_id::text, id::text, events FROM webhook_endpoints
WHERE organization_id = $1 AND id = $2 AND status = 'enabled' AND deleted_at IS NULL`

// ListenerOf reads an endpoint; ErrNotFound when it doesn't listen.
func ListenerOf(ctx context.Context, db Execer, organizationID, endpointID string) (Listener, error) {
	rows, err := db.Query(ctx, selectListener, organizationID, endpointID)
	if err != nil {
		return Listener{}, fmt.Errorf("look whether endpoint %s listens: %w", endpointID, err)
	}
	l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Listener])
	if err != nil {
		return l, fmt.Errorf("look whether endpoint %s listens: %w", endpointID, notFound(err))
	}
	return l, nil
}

// A Callback is where the client of a job wants to hear of its end.
type Callback struct {
	OrganizationID string `db:"organization_id"`
	JobID          string `db:"id"`
	URL            string `db:"callback_url"`
}

const selectCallbacks = `
SELECT j.organization_id::text, j.id::text, j.callback_url
FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization_id, id)
JOIN jobs j USING (organization_id, id)
WHERE j.callback_url IS NOT NULL`

// QueueCallbacks adds the search for the callbacks of jobs to a batch.
func QueueCallbacks(b *pgx.Batch, jobs []OrganizationJob, found *[]Callback) {
	organizations, ids := make([]string, len(jobs)), make([]string, len(jobs))
	for i, j := range jobs {
		organizations[i], ids[i] = j.OrganizationID, j.JobID
	}
	b.Queue(selectCallbacks, organizations, ids).Query(func(rows pgx.Rows) (err error) {
		if *found, err = pgx.CollectRows(rows, pgx.RowToStructByName[Callback]); err != nil {
			return fmt.Errorf("look who wants to be called back: %w", err)
		}
		return nil
	})
}

// An OrganizationJob names a job.
type OrganizationJob struct{ OrganizationID, JobID string }
