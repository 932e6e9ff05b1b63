package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A ChainEvent is a fact as it stands in the outbox, without its content.
type ChainEvent struct {
	XID            string     `db:"xid"`
	Place          int64      `db:"place"` // in its transaction's
	ID             string     `db:"event_id"`
	OrganizationID string     `db:"organization_id"`
	Type           string     `db:"type"`
	Subject        string     `db:"subject"`
	Version        int64      `db:"aggregate_version"`
	CausationID    string     `db:"causation_id"`   // "": nobody said
	RequestID      string     `db:"correlation_id"` // "": no request is at its head
	TraceParent    string     `db:"traceparent"`
	Route          string     `db:"route"` // of the request that stated it; "": none did
	KeyID          string     `db:"key_id"`
	AskedAt        *time.Time `db:"asked_at"`
	Run            int        `db:"run"` // that a job.requested asks for, else 0
	CreatedAt      time.Time  `db:"created_at"`
}

const chainEventColumns = `o.xid::text, o.id AS place, o.event_id::text, o.organization_id::text, o.type, o.subject, o.aggregate_version,
    coalesce(o.causation_id, '') AS causation_id, coalesce(o.correlation_id, '') AS correlation_id, coalesce(o.traceparent, '') AS traceparent,
    coalesce(o.route, '') AS route, coalesce(o.key_id, '') AS key_id, o.asked_at,
    CASE WHEN o.type = 'job.requested' THEN coalesce((o.data->>'run')::integer, 1) ELSE 0 END AS run, o.created_at`

// The outbox is searched through indexes of its days, one look for each id; the newest come first where there are more
// than are wanted. Conditions that seem idle are those of the indexes.
const (
	chainEventsByID = `
SELECT ` + chainEventColumns + ` FROM outbox o WHERE o.event_id = ANY($1::uuid[]) LIMIT $2`
	chainEventsByRequest = `
SELECT e.* FROM unnest($1::text[]) AS given (id) CROSS JOIN LATERAL (
    SELECT ` + chainEventColumns + ` FROM outbox o WHERE o.correlation_id = given.id AND o.correlation_id IS NOT NULL
    ORDER BY o.event_id DESC LIMIT $2) AS e`
	chainEventsBySubject = `
SELECT e.* FROM unnest($1::text[]) AS given (id) CROSS JOIN LATERAL (
    SELECT ` + chainEventColumns + ` FROM outbox o WHERE o.subject = given.id ORDER BY o.event_id DESC LIMIT $2) AS e`
	chainEventsByCause = `
SELECT ` + chainEventColumns + ` FROM outbox o
WHERE o.causation_id = ANY($1::text[]) AND o.causation_id IS NOT NULL AND o.correlation_id IS NULL LIMIT $2`
	chainEventsByTrace = `
SELECT ` + chainEventColumns + ` FROM outbox o
WHERE substr(o.traceparent, 4, 32) = ANY($1::text[]) AND o.traceparent IS NOT NULL AND o.causation_id IS NULL LIMIT $2`
	chainEventsAt = `
SELECT ` + chainEventColumns + ` FROM outbox o WHERE o.xid = ($1::text[])[1]::xid8 AND o.id = ($1::text[])[2]::bigint LIMIT $2`
	// What a key stated lately: the moment of its last use is known to the minute.
	chainEventsOfKey = `
SELECT ` + chainEventColumns + ` FROM outbox o
WHERE o.event_id >= ($1::text[])[3]::uuid AND o.event_id < ($1::text[])[4]::uuid
  AND o.key_id = ($1::text[])[1] AND o.organization_id = ($1::text[])[2]::uuid
ORDER BY o.event_id DESC LIMIT $2`
)

const presentEpoch = `SELECT epoch::text FROM outbox_epochs ORDER BY started_at DESC, started_xid DESC LIMIT 1`

// PresentEpoch names the present life of the outbox.
func PresentEpoch(ctx context.Context, tx pgx.Tx) (epoch string, err error) {
	if err := tx.QueryRow(ctx, presentEpoch).Scan(&epoch); err != nil {
		return "", fmt.Errorf("read the outbox's epoch: %w", err)
	}
	return epoch, nil
}

// A Trail is by what events are looked for.
type Trail string

// The trails.
const (
	ByEvent   Trail = chainEventsByID
	ByRequest Trail = chainEventsByRequest
	BySubject Trail = chainEventsBySubject
	ByCause   Trail = chainEventsByCause // and no request is at their head
	ByTrace   Trail = chainEventsByTrace // of the request that stated them
	ByPlace   Trail = chainEventsAt      // transaction and number
)

// ChainEvents finds events of all organizations along a trail, atMost of each id, or of all together.
func ChainEvents(ctx context.Context, tx pgx.Tx, by Trail, ids []string, atMost int) ([]ChainEvent, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, string(by), ids, atMost)
	if err != nil {
		return nil, fmt.Errorf("look for events: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ChainEvent])
	if err != nil {
		return nil, fmt.Errorf("look for events: %w", err)
	}
	return list, nil
}

// ChainEventsOfKey finds the newest events that were stated with a key, in the minutes around a moment.
func ChainEventsOfKey(ctx context.Context, tx pgx.Tx, organizationID, keyID string, used time.Time, atMost int) ([]ChainEvent, error) {
	return ChainEvents(ctx, tx, chainEventsOfKey, []string{keyID, organizationID, idAt(used.Add(-10 * time.Minute)), idAt(used.Add(10 * time.Minute))}, atMost)
}

// A Key names a row of an organization's.
type Key struct{ OrganizationID, ID string }

func keysApart(keys []Key) (organizations, ids []string) {
	return of(keys, func(k Key) string { return k.OrganizationID }), of(keys, func(k Key) string { return k.ID })
}

// A ChainJob is a job without what it was given and what it brought.
type ChainJob struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	Kind           string     `db:"kind"`
	Queue          string     `db:"queue"`
	Status         string     `db:"status"`
	Run            int        `db:"run"`
	Attempt        int        `db:"attempt"`
	MaxAttempts    int        `db:"max_attempts"`
	EventID        string     `db:"event_id"`
	RequestID      string     `db:"request_id"`
	TraceParent    string     `db:"traceparent"`
	RiverJobID     *int64     `db:"river_job_id"`
	ErrorCode      string     `db:"error_code"`
	Error          string     `db:"error"`
	Waiting        string     `db:"waiting"`
	StartedBy      string     `db:"started_by"` // what handed it over, where no client did
	RunAt          time.Time  `db:"run_at"`
	CreatedAt      time.Time  `db:"created_at"`
	StartedAt      *time.Time `db:"started_at"`
	FinishedAt     *time.Time `db:"finished_at"`
}

const (
	chainJobColumns = `j.organization_id::text, j.id::text, j.kind, j.queue, j.status, j.run, j.attempt, j.max_attempts, j.event_id::text,
    coalesce(j.request_id, '') AS request_id, coalesce(j.traceparent, '') AS traceparent, j.river_job_id,
    coalesce(j.error->>'code', '') AS error_code, coalesce(j.error->>'detail', '') AS error, coalesce(j.waiting_reason, '') AS waiting,
    left(coalesce(j.metadata->>'started_by', ''), 100) AS started_by, j.run_at, j.created_at, j.started_at, j.finished_at`
	chainJobs = `
SELECT ` + chainJobColumns + ` FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN jobs j ON j.organization_id = given.organization_id AND j.id = given.id`
)

// ChainJobs reads jobs of any organizations.
func ChainJobs(ctx context.Context, tx pgx.Tx, keys []Key) ([]ChainJob, error) {
	return chainRows[ChainJob](ctx, tx, "jobs", chainJobs, keys)
}

// chainRows reads what belongs to some rows of organizations.
func chainRows[T any](ctx context.Context, tx pgx.Tx, what, sql string, keys []Key, more ...any) ([]T, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	organizations, ids := keysApart(keys)
	rows, err := tx.Query(ctx, sql, append([]any{organizations, ids}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", what, err)
	}
	return list, nil
}

const (
	jobsOfRequest = `
SELECT organization_id::text, id::text FROM jobs WHERE request_id = $1 AND request_id IS NOT NULL ORDER BY jobs.id DESC LIMIT $2`
	// River indexes arguments and metadata as a whole.
	riverColumns = `r.id, r.kind, r.queue, r.state::text, r.attempt, r.max_attempts, coalesce(r.args->>'job_id', '') AS job_id,
    coalesce(r.args->>'organization_id', '') AS organization_id, coalesce(r.metadata->>'event_id', r.args->'cause'->>'event_id', '') AS event_id,
    coalesce(r.args->>'delivery_id', '') AS delivery_id,
    ARRAY(SELECT jsonb_array_elements_text(CASE WHEN jsonb_typeof(r.args->'tags') = 'array' THEN r.args->'tags' ELSE '[]' END) LIMIT 100) AS tags,
    coalesce(r.errors[cardinality(r.errors)]->>'error', '') AS error, r.created_at, r.attempted_at, r.finalized_at, r.scheduled_at`
	riverByID = `SELECT ` + riverColumns + ` FROM river_job r WHERE r.id = ANY($1::bigint[])`
	// Postgres takes one in a hundred to fit, whatever is asked for: told of the limit, it would read them all in order
	// to meet some soon, and meet none.
	riverOfEvents = `
SELECT f.* FROM unnest($1::text[]) AS given (id) CROSS JOIN LATERAL (
    WITH r AS MATERIALIZED (SELECT * FROM river_job WHERE metadata @> jsonb_build_object('event_id', given.id))
    SELECT ` + riverColumns + ` FROM r LIMIT $2) AS f`
)

// A ChainRiverJob is work as River has it. What a client asked for has a JobID.
type ChainRiverJob struct {
	ID             int64      `db:"id"`
	Kind           string     `db:"kind"`
	Queue          string     `db:"queue"`
	State          string     `db:"state"` // River's
	Attempt        int        `db:"attempt"`
	MaxAttempts    int        `db:"max_attempts"`
	JobID          string     `db:"job_id"`
	OrganizationID string     `db:"organization_id"`
	EventID        string     `db:"event_id"` // that started it
	DeliveryID     string     `db:"delivery_id"`
	Tags           []string   `db:"tags"`  // of the cache, that it makes void
	Error          string     `db:"error"` // of its last attempt that failed
	CreatedAt      time.Time  `db:"created_at"`
	AttemptedAt    *time.Time `db:"attempted_at"`
	FinalizedAt    *time.Time `db:"finalized_at"`
	ScheduledAt    time.Time  `db:"scheduled_at"`
}

// RiverJobsByID reads jobs of River's, without those that it no longer has.
func RiverJobsByID(ctx context.Context, tx pgx.Tx, ids []int64) ([]ChainRiverJob, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return riverRows(ctx, tx, riverByID, ids)
}

func riverRows(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]ChainRiverJob, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("look for jobs of river: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ChainRiverJob])
	if err != nil {
		return nil, fmt.Errorf("look for jobs of river: %w", err)
	}
	return list, nil
}

// ChainRiverJobs finds what events started by themselves, atMost of each.
func ChainRiverJobs(ctx context.Context, tx pgx.Tx, eventIDs []string, atMost int) ([]ChainRiverJob, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	return riverRows(ctx, tx, riverOfEvents, eventIDs, atMost)
}
