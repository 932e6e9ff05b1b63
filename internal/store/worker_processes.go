package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A WorkerProcess is a process that works queues.
type WorkerProcess struct {
	ID          string          `db:"id"`
	Host        string          `db:"host"`
	PID         int             `db:"pid"`
	Queues      json.RawMessage `db:"queues"` // {"ai":2}
	Kinds       []string        `db:"kinds"`  // that it knows; nil: it is of a version that doesn't say
	Version     string          `db:"version"`
	StartedAt   time.Time       `db:"started_at"`
	HeartbeatAt time.Time       `db:"heartbeat_at"`
	Providers   []ProviderState `db:"providers"` // of models, as it last said; nil: it said nothing
}

// A ProviderState is what a worker knows of one model of one provider.
type ProviderState struct {
	Provider    string     `json:"provider"`
	Model       string     `json:"model"`
	State       string     `json:"state"`        // closed (in use), open, half_open, limited, disabled or unconfigured
	LastClass   string     `json:"last_class"`   // of the last failure, "" for none
	LastFailure *time.Time `json:"last_failure"` // nil: none
	NextProbe   *time.Time `json:"next_probe"`   // when it is tried again; nil: it is in use
}

const registerWorker = `
INSERT INTO worker_processes (id, host, pid, queues, version, kinds) VALUES ($1, $2, $3, $4, $5, $6)`

// RegisterWorker makes a process known before it takes its first job.
func RegisterWorker(ctx context.Context, db Execer, p WorkerProcess) error {
	if _, err := db.Exec(ctx, registerWorker, p.ID, p.Host, p.PID, p.Queues, p.Version, p.Kinds); err != nil {
		return fmt.Errorf("register worker %s: %w", p.ID, err)
	}
	return nil
}

const beatWorker = `
UPDATE worker_processes SET heartbeat_at = clock_timestamp(), providers = coalesce($2, providers) WHERE id = $1`

// BeatWorker shows that a process lives, and what it has to say of its models since the last time; nil: nothing
// new. It returns false when others have declared it dead.
func BeatWorker(ctx context.Context, db Execer, id string, news []ProviderState) (alive bool, err error) {
	var providers any // a typed nil would be null in JSON
	if news != nil {
		providers = news
	}
	tag, err := db.Exec(ctx, beatWorker, id, providers)
	if err != nil {
		return false, fmt.Errorf("beat for worker %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// UnregisterWorker signs a process off.
func UnregisterWorker(ctx context.Context, db Execer, id string) error {
	if _, err := db.Exec(ctx, `DELETE FROM worker_processes WHERE id = $1`, id); err != nil {
		return fmt.Errorf("unregister worker %s: %w", id, err)
	}
	return nil
}

const lockSilentWorkers = `
SELECT id, heartbeat_at FROM worker_processes WHERE heartbeat_at < clock_timestamp() - $1::interval FOR UPDATE SKIP LOCKED`

// LockSilentWorkers finds whoever has not shown a sign of life for so long, and gives the last sign of each by its id.
// They can show none before the end of the transaction; those that another transaction has locked are left to it.
func LockSilentWorkers(ctx context.Context, tx pgx.Tx, silence time.Duration) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, lockSilentWorkers, silence)
	return collectDead(rows, err, "look for silent workers")
}

const removeWorkers = `DELETE FROM worker_processes WHERE id = ANY($1)`

// RemoveWorkers declares processes dead.
func RemoveWorkers(ctx context.Context, tx pgx.Tx, ids []string) error {
	if _, err := tx.Exec(ctx, removeWorkers, ids); err != nil {
		return fmt.Errorf("remove silent workers: %w", err)
	}
	return nil
}

func collectDead(rows pgx.Rows, err error, doing string) (map[string]time.Time, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	dead := make(map[string]time.Time)
	var id string
	var last time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &last}, func() error { dead[id] = last; return nil }); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return dead, nil
}

const removeAllWorkers = `DELETE FROM worker_processes RETURNING id, heartbeat_at`

// RemoveAllWorkers declares all processes dead, in a copy of the database where none has ever been.
func RemoveAllWorkers(ctx context.Context, tx pgx.Tx) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, removeAllWorkers)
	return collectDead(rows, err, "remove all workers")
}

const selectWorkers = `
SELECT id, host, pid, queues, kinds, version, started_at, heartbeat_at, providers FROM worker_processes ORDER BY id`

// Workers lists the processes that are alive.
func (db *DB) Workers(ctx context.Context) ([]WorkerProcess, error) {
	rows, err := db.pool.Query(ctx, selectWorkers)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[WorkerProcess])
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return list, nil
}

// An Orphan is a River job whose process is gone.
type Orphan struct {
	RiverJobID     int64
	Kind           string
	Attempt        int
	Discarded      bool   // it was the last attempt
	OrganizationID string // of a requested job, else ""
	JobID          string
	Run            int
	Worker         string // that had it
	Queue          string
	AttemptedAt    *time.Time
}

// The work goes on in a new row: whatever River's client of a process that was taken for dead still
// writes, it writes by the id of the old row, which is final, and so can't cancel or end the work of
// those that it was given to. The attempt that died stays counted: a job that kills its worker must come
// to an end.
const giveBack = `
WITH taken AS (
    SELECT id FROM river_job j WHERE state = 'running' AND `

const giveBackReturning = `
    LIMIT $1 FOR UPDATE SKIP LOCKED
), dead AS (
    UPDATE river_job
    SET state = CASE WHEN attempt >= max_attempts THEN 'discarded' ELSE 'cancelled' END::river_job_state,
        finalized_at = now(),
        errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt,
            'error', 'the worker process died or lost it: ' || coalesce(attempted_by[array_upper(attempted_by, 1)], 'unknown'), 'trace', ''))
    WHERE id IN (SELECT id FROM taken)
    RETURNING *
), again AS (
    INSERT INTO river_job (args, attempt, attempted_at, attempted_by, errors, kind, max_attempts, metadata, priority,
                           queue, scheduled_at, state, tags)
    SELECT args, attempt, attempted_at, attempted_by, errors, kind, max_attempts,
           metadata || jsonb_build_object('payaid:instead_of', id), priority, queue, now(), 'available', tags
    FROM dead WHERE state = 'cancelled'
)
SELECT id, kind, attempt, state = 'discarded', coalesce(args ->> 'organization_id', ''),
       coalesce(args ->> 'job_id', ''), coalesce((args ->> 'run')::int, 0),
       coalesce(attempted_by[array_upper(attempted_by, 1)], ''), queue, attempted_at
FROM dead`

// A job that was only just taken may belong to a process that this snapshot doesn't show yet.
const giveBackOrphans = giveBack + `
        attempted_at < clock_timestamp() - $2::interval
        AND NOT EXISTS (SELECT FROM worker_processes p
            WHERE p.id = j.attempted_by[array_upper(j.attempted_by, 1)] AND NOT (p.id = ANY($3)))` + giveBackReturning

// GiveBackOrphans makes up to limit jobs due again whose process is not among the living, where those of the ids in
// silent are not either, or ends those that have no attempt left.
func GiveBackOrphans(ctx context.Context, tx pgx.Tx, limit int, settled time.Duration, silent []string) ([]Orphan, error) {
	return collectOrphans(tx.Query(ctx, giveBackOrphans, limit, settled, silent))
}

const giveBackOrphansOf = giveBack + `attempted_by[array_upper(attempted_by, 1)] = $2` + giveBackReturning

// GiveBackOrphansOf is GiveBackOrphans for one process that signs off.
func GiveBackOrphansOf(ctx context.Context, tx pgx.Tx, limit int, id string) ([]Orphan, error) {
	return collectOrphans(tx.Query(ctx, giveBackOrphansOf, limit, id))
}

const giveBackStray = giveBack + `
        attempted_by[array_upper(attempted_by, 1)] = $2 AND attempted_at < clock_timestamp() - $3::interval
        AND NOT (id = ANY($4))` + giveBackReturning

// GiveBackStray is GiveBackOrphans for what is said to be worked by a living process that knows nothing
// of it.
func GiveBackStray(ctx context.Context, tx pgx.Tx, limit int, id string, settled time.Duration, inHand []int64) ([]Orphan, error) {
	return collectOrphans(tx.Query(ctx, giveBackStray, limit, id, settled, inHand))
}

func collectOrphans(rows pgx.Rows, err error) ([]Orphan, error) {
	if err != nil {
		return nil, fmt.Errorf("give back jobs of dead workers: %w", err)
	}
	orphans, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Orphan])
	if err != nil {
		return nil, fmt.Errorf("give back jobs of dead workers: %w", err)
	}
	return orphans, nil
}
