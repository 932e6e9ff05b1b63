package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A ShownBackup is what the operator sees of one: the row, and what its manifest says in numbers. What is nil is not
// known yet.
type ShownBackup struct {
	Backup
	PlainBytes *int64  `db:"plain_bytes"`
	SHA256     *string `db:"sha256"`
	Encrypted  *bool   `db:"encrypted"`
	Tables     *int    `db:"tables"`
	Rows       *int64  `db:"rows"`
	// Tried is whether somebody tries right now to restore it.
	Tried bool `db:"tried"`
	// NotCopied is why the remote place lacked it when it was made; nil: it had it, or there is none.
	NotCopied *string `db:"not_copied"`
}

// BackupOverview is a page of the history, and how well the data is kept.
type BackupOverview struct {
	Page     []ShownBackup
	Newest   *ShownBackup // that is complete; nil: none is
	Failed   *ShownBackup // the last that failed; nil: none did
	Proven   *ShownBackup // the newest that was restored for a try and is there; nil: none was
	Running  int          // being made now
	Copied   bool         // the remote place has one
	Schedule *Schedule    // nil: nobody makes any by the clock
}

// A manifest lists its tables, which may be many; only their sums leave the server.
const shownBackups = `
SELECT b.id::text, b.name, b.state, b.host, b.job_id::text, b.worker_id, b.places, NULL::jsonb AS manifest, b.error, b.started_at, b.snapshot_at,
       b.finished_at, b.bytes, b.verification, b.verified_at, b.restore_seconds::float8, b.version, b.updated_at,
       (b.manifest ->> 'plain_bytes')::bigint AS plain_bytes, b.manifest ->> 'sha256' AS sha256,
       CASE jsonb_typeof(b.manifest -> 'recipients') WHEN 'array' THEN b.manifest -> 'recipients' <> '[]' WHEN 'null' THEN false END AS encrypted,
       CASE jsonb_typeof(b.manifest -> 'tables') WHEN 'array' THEN jsonb_array_length(b.manifest -> 'tables') END AS tables,
       (SELECT sum((t ->> 'rows')::bigint)::bigint
        FROM jsonb_array_elements(CASE jsonb_typeof(b.manifest -> 'tables') WHEN 'array' THEN b.manifest -> 'tables' END) t) AS rows,
       b.state = 'completed' AND EXISTS (SELECT FROM jobs j WHERE j.organization_id = $1 AND j.queue = 'maintenance' AND j.finished_at IS NULL
           AND j.kind = 'db.backup_verify' AND j.status = 'running' AND j.input ->> 'name' = b.name) AS tried,
       (SELECT j.output ->> 'not_copied' FROM jobs j WHERE j.organization_id = $1 AND j.id = b.job_id) AS not_copied
FROM backups b `

// The cursor's row may be gone: a backup that was begun and put off leaves none. Its id tells its time as well.
const shownBackupsPage = shownBackups + `
WHERE $2::uuid IS NULL
   OR (b.started_at, b.id) < (coalesce((SELECT c.started_at FROM backups c WHERE c.id = $2), $3::timestamptz), $2)
ORDER BY b.started_at DESC, b.id DESC LIMIT $4`

const (
	newestBackup    = shownBackups + `WHERE b.state = 'completed' ORDER BY b.snapshot_at DESC, b.id DESC LIMIT 1`
	newestProven    = shownBackups + `WHERE b.state = 'completed' AND b.verified_at IS NOT NULL ORDER BY b.snapshot_at DESC, b.id DESC LIMIT 1`
	newestFailed    = shownBackups + `WHERE b.state = 'failed' ORDER BY b.finished_at DESC, b.id DESC LIMIT 1`
	backupsInNumber = `
SELECT (SELECT count(*)::int FROM backups WHERE state = 'running'),
       EXISTS (SELECT FROM backups WHERE state = 'completed' AND 'remote' = ANY (places))`
	backupSchedule = scheduleColumns + `WHERE kind = 'db.backup' LIMIT 1`
)

// BackupOverview reads the page behind the id before ("": the first) and how things stand, in one round trip.
func (db *DB) BackupOverview(ctx context.Context, before string, limit int) (BackupOverview, error) {
	var o BackupOverview
	var cursor *string
	var at time.Time
	if id, err := uuid.Parse(before); err == nil {
		cursor = &before
		at = time.Unix(id.Time().UnixTime())
	}
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(shownBackupsPage, OperatorOrganization, cursor, at, limit).Query(func(rows pgx.Rows) (err error) {
		o.Page, err = pgx.CollectRows(rows, pgx.RowToStructByName[ShownBackup])
		return err
	})
	for sql, into := range map[string]**ShownBackup{newestBackup: &o.Newest, newestProven: &o.Proven, newestFailed: &o.Failed} {
		b.Queue(sql, OperatorOrganization).Query(func(rows pgx.Rows) (err error) {
			*into, err = atMostOne[ShownBackup](rows)
			return err
		})
	}
	b.Queue(backupsInNumber).QueryRow(func(row pgx.Row) error { return row.Scan(&o.Running, &o.Copied) })
	b.Queue(backupSchedule).Query(func(rows pgx.Rows) (err error) {
		o.Schedule, err = atMostOne[Schedule](rows)
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return o, fmt.Errorf("look how backups do: %w", becoming(System, err))
	}
	return o, nil
}

// atMostOne is the only row, or nil.
func atMostOne[T any](rows pgx.Rows) (*T, error) {
	one, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return one, err
}

// A BackupProblem is why a backup was not made, or is not where it should be.
type BackupProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// Problem is what the row says of what went wrong; nil: nothing.
func (b Backup) Problem() *BackupProblem {
	var p BackupProblem
	if len(b.Error) == 0 || json.Unmarshal(b.Error, &p) != nil || p.Code == "" {
		return nil
	}
	return &p
}

// A BackupTrial is what came of the last try to restore a backup, as its verification says.
type BackupTrial struct {
	State          string    `json:"state"` // passed, failed, impossible
	FinishedAt     time.Time `json:"finished_at"`
	RestoreSeconds float64   `json:"restore_seconds"`
	Code           string    `json:"code"`
	Detail         string    `json:"detail"`
}

// Trial is the last try to restore it; nil: nobody tried.
func (b Backup) Trial() *BackupTrial {
	var t BackupTrial
	if len(b.Verification) == 0 || json.Unmarshal(b.Verification, &t) != nil || t.State == "" {
		return nil
	}
	return &t
}

const backupState = `SELECT state FROM backups WHERE name = $1`

// BackupState is the state of the backup of a name; ErrNotFound when none is known.
func BackupState(ctx context.Context, tx pgx.Tx, name string) (state string, err error) {
	if err := tx.QueryRow(ctx, backupState, name).Scan(&state); err != nil {
		return "", fmt.Errorf("read the state of backup %s: %w", name, notFound(err))
	}
	return state, nil
}
