package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a backup.
const (
	BackupRunning   = "running"
	BackupCompleted = "completed"
	BackupFailed    = "failed"
	BackupDeleted   = "deleted"
)

// A Backup is what is known of one. The manifest beside the dump is the truth where the two differ.
type Backup struct {
	ID             string          `db:"id"`
	Name           string          `db:"name"`
	State          string          `db:"state"`
	Host           string          `db:"host"`      // that made it, or saw it in its folder last
	JobID          *string         `db:"job_id"`    // nil: a command made it
	WorkerID       *string         `db:"worker_id"` // that makes it
	Places         []string        `db:"places"`    // folder, remote
	Manifest       json.RawMessage `db:"manifest"`  // nil until it is complete
	Error          json.RawMessage `db:"error"`     // {"code","detail","remedy"} of one that failed
	StartedAt      time.Time       `db:"started_at"`
	SnapshotAt     *time.Time      `db:"snapshot_at"` // what was committed until then is in it
	FinishedAt     *time.Time      `db:"finished_at"`
	Bytes          *int64          `db:"bytes"`           // of the file
	Verification   json.RawMessage `db:"verification"`    // what came of the last try to restore it; nil: nobody tried
	VerifiedAt     *time.Time      `db:"verified_at"`     // when all was found in it; nil: never
	RestoreSeconds *float64        `db:"restore_seconds"` // that the restore took which found all in it
	Version        int64           `db:"version"`
	UpdatedAt      time.Time       `db:"updated_at"`
}

const backupColumns = `id::text, name, state, host, job_id::text, worker_id, places, manifest, error, started_at, snapshot_at,
    finished_at, bytes, verification, verified_at, restore_seconds::float8, version, updated_at`

func collectBackups(rows pgx.Rows, err error) ([]Backup, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Backup])
}

const insertBackup = `
INSERT INTO backups (id, name, state, host, job_id, worker_id, started_at) VALUES ($1, $2, 'running', $3, $4, $5, $6)
ON CONFLICT DO NOTHING`

// BeginBackup notes that a backup is being made. It is false when there is one of that id or name already.
func BeginBackup(ctx context.Context, db Execer, b Backup) (bool, error) {
	tag, err := db.Exec(ctx, insertBackup, b.ID, b.Name, b.Host, b.JobID, b.WorkerID, b.StartedAt)
	if err != nil {
		return false, fmt.Errorf("begin backup %s: %w", b.Name, err)
	}
	return tag.RowsAffected() == 1, nil
}

const beatBackup = `UPDATE backups SET updated_at = now() WHERE id = $1 AND state = 'running'`

// BeatBackup shows that somebody still makes a backup.
func BeatBackup(ctx context.Context, db Execer, id string) error {
	if _, err := db.Exec(ctx, beatBackup, id); err != nil {
		return fmt.Errorf("beat for backup %s: %w", id, err)
	}
	return nil
}

const lockBackup = `SELECT ` + backupColumns + ` FROM backups WHERE id = $1 FOR UPDATE`

const completeBackup = `
INSERT INTO backups (id, name, state, host, job_id, places, manifest, started_at, snapshot_at, finished_at, bytes, version)
VALUES ($1, $2, 'completed', $3, $4, $5, $6, $7, $8, $9, $10, 2)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, state = 'completed', host = excluded.host, places = excluded.places, manifest = excluded.manifest, error = NULL,
    worker_id = NULL, snapshot_at = excluded.snapshot_at, finished_at = excluded.finished_at, bytes = excluded.bytes,
    version = backups.version + 1, updated_at = now()
RETURNING version`

// The name of a file is given once, but a try that failed before there was a file may have had it.
const freeBackupName = `UPDATE backups SET name = name || '#' || id WHERE name = $2 AND id <> $1`

// CompleteBackup notes that a backup is complete, as somebody saw it who looked on b.Host and, if remote, in the remote
// place as well. It gives the version of that, 0 when nothing is new. A row that said otherwise is of a restored
// database, in which the backup was under way still, or of somebody who was taken for dead.
func CompleteBackup(ctx context.Context, tx pgx.Tx, b Backup, remote bool) (version int64, err error) {
	if _, err := tx.Exec(ctx, freeBackupName, b.ID, b.Name); err != nil {
		return 0, fmt.Errorf("complete backup %s: %w", b.Name, err)
	}
	known, err := collectBackups(tx.Query(ctx, lockBackup, b.ID))
	if err != nil {
		return 0, fmt.Errorf("complete backup %s: %w", b.Name, err)
	}
	b.Places = slices.Clone(b.Places)
	for _, k := range known {
		b.keepUnseen(k, remote)
	}
	slices.Sort(b.Places)
	b.Places = slices.Compact(b.Places)
	for _, k := range known {
		if k.State == BackupCompleted && k.Host == b.Host && slices.Equal(k.Places, b.Places) {
			return 0, nil
		}
	}
	err = tx.QueryRow(ctx, completeBackup, b.ID, b.Name, b.Host, b.JobID, b.Places, b.Manifest, b.StartedAt, b.SnapshotAt,
		b.FinishedAt, b.Bytes).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("complete backup %s: %w", b.Name, err)
	}
	return version, nil
}

// keepUnseen keeps what whoever looked could not see: what another host has in its folder, and the remote place, where
// that didn't answer.
func (b *Backup) keepUnseen(known Backup, remote bool) {
	if !remote && slices.Contains(known.Places, "remote") {
		b.Places = append(b.Places, "remote")
	}
	if slices.Contains(b.Places, "folder") || known.Host == b.Host {
		return
	}
	b.Host = known.Host
	if slices.Contains(known.Places, "folder") {
		b.Places = append(b.Places, "folder")
	}
}

const knownBackups = `SELECT current_database(), ARRAY(SELECT id::text FROM backups WHERE id::text = ANY ($1))`

// KnownBackups gives the name of this database, and which of the backups with these ids are written down in it: a
// folder may hold those of several databases, and one that was restored has another name.
func KnownBackups(ctx context.Context, tx pgx.Tx, ids []string) (database string, known []string, err error) {
	if err := tx.QueryRow(ctx, knownBackups, ids).Scan(&database, &known); err != nil {
		return "", nil, fmt.Errorf("look which backups are known: %w", err)
	}
	return database, known, nil
}

const spoilBackup = `
UPDATE backups SET state = 'failed', error = $2, version = version + 1, updated_at = now() WHERE name = $1 AND state = 'completed'
RETURNING ` + backupColumns

// SpoilBackup notes that a backup was complete, and is no good any more. It gives it, if that is news.
func SpoilBackup(ctx context.Context, tx pgx.Tx, name string, problem json.RawMessage) ([]Backup, error) {
	list, err := collectBackups(tx.Query(ctx, spoilBackup, name, problem))
	if err != nil {
		return nil, fmt.Errorf("note that backup %s is no good: %w", name, err)
	}
	return list, nil
}

const failBackup = `
UPDATE backups SET state = 'failed', error = $2, finished_at = now(), worker_id = NULL, version = version + 1, updated_at = now()
WHERE id = $1 AND state = 'running'`

// QueueFailBackup notes that a backup was not made, with {"code","detail","remedy"}.
func QueueFailBackup(b *pgx.Batch, id string, problem json.RawMessage) {
	b.Queue(failBackup, id, problem)
}

const loseBackups = `
UPDATE backups SET state = 'failed', error = $3, finished_at = now(), worker_id = NULL, version = version + 1, updated_at = now()
WHERE state = 'running' AND (job_id = $1 OR updated_at < now() - $2::interval)
RETURNING ` + backupColumns

// LoseBackups notes that backups were not made of which nobody has heard for so long, and those of a job ("": of none)
// whose turn it is again: whoever made them died. It gives them.
func LoseBackups(ctx context.Context, tx pgx.Tx, jobID string, silence time.Duration, problem json.RawMessage) ([]Backup, error) {
	var job *string
	if jobID != "" {
		job = &jobID
	}
	lost, err := collectBackups(tx.Query(ctx, loseBackups, job, silence, problem))
	if err != nil {
		return nil, fmt.Errorf("look for lost backups: %w", err)
	}
	return lost, nil
}

const verifyBackup = `
UPDATE backups SET verification = $2, verified_at = CASE WHEN $5 THEN verified_at ELSE $3 END,
    restore_seconds = CASE WHEN $5 THEN restore_seconds ELSE $4 END, version = version + 1, updated_at = now()
WHERE id = $1 AND verification IS DISTINCT FROM $2
RETURNING version`

// A TriedBackup is what came of a try to restore a backup.
type TriedBackup struct {
	ID             string
	Verification   json.RawMessage
	VerifiedAt     *time.Time // nil: not all was found
	RestoreSeconds *float64
	Undecided      bool // nothing was found out, so that what was known stays
}

// VerifyBackup keeps what came of a try, and gives the version of that: 0 when it was known.
func VerifyBackup(ctx context.Context, tx pgx.Tx, t TriedBackup) (version int64, err error) {
	err = tx.QueryRow(ctx, verifyBackup, t.ID, t.Verification, t.VerifiedAt, t.RestoreSeconds, t.Undecided).Scan(&version)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("keep the verification of backup %s: %w", t.ID, err)
	}
	return version, nil
}

const forgetBackup = `DELETE FROM backups WHERE id = $1 AND state = 'running'`

// ForgetBackup takes back that a backup was begun: its turn has not come.
func ForgetBackup(ctx context.Context, db Execer, id string) error {
	if _, err := db.Exec(ctx, forgetBackup, id); err != nil {
		return fmt.Errorf("forget backup %s: %w", id, err)
	}
	return nil
}

// What lies in this host's folder is known by the list, and so is the remote place where there is one; what another
// host has in its own folder is not.
const missBackups = `
UPDATE backups b
SET places = gone.left, state = CASE WHEN gone.left = '{}' THEN 'deleted' ELSE 'completed' END, version = version + 1, updated_at = now()
FROM (SELECT id, ARRAY(SELECT p FROM unnest(places) p WHERE NOT (p = 'folder' AND host = $2 OR p = 'remote' AND $3)) AS left
      FROM backups WHERE state = 'completed' AND NOT name = ANY ($1) AND started_at < $4) gone
WHERE gone.id = b.id AND gone.left <> b.places`

// A Look is what somebody saw who looked for backups.
type Look struct {
	Began  time.Time // what was begun later isn't missed
	Host   string    // whose folder it was
	Remote bool      // the remote place was looked at as well
	Names  []string  // of the backups that were there
}

// MissBackups notes which backups are no longer where they were, because somebody removed them by hand.
func MissBackups(ctx context.Context, db Execer, l Look) error {
	if l.Names == nil {
		l.Names = []string{}
	}
	if _, err := db.Exec(ctx, missBackups, l.Names, l.Host, l.Remote, l.Began); err != nil {
		return fmt.Errorf("note which backups are gone: %w", err)
	}
	return nil
}

const selectBackups = `SELECT ` + backupColumns + ` FROM backups ORDER BY started_at DESC, id DESC LIMIT $1`

// Backups lists the newest, those that failed and those that were deleted included.
func (db *DB) Backups(ctx context.Context, limit int) ([]Backup, error) {
	list, err := collectBackups(db.pool.Query(ctx, selectBackups, limit))
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	return list, nil
}

const selectBackup = `SELECT ` + backupColumns + ` FROM backups WHERE name = $1`

const selectNewestBackup = `
SELECT ` + backupColumns + ` FROM backups WHERE state = 'completed' ORDER BY snapshot_at DESC, id DESC LIMIT 1`

// BackupNamed reads one by its name; "" is the newest that is complete. ErrNotFound when there is none.
func (db *DB) BackupNamed(ctx context.Context, name string) (Backup, error) {
	sql, args := selectBackup, []any{name}
	if name == "" {
		sql, args = selectNewestBackup, nil
	}
	rows, err := db.pool.Query(ctx, sql, args...)
	if err != nil {
		return Backup{}, fmt.Errorf("read backup %s: %w", name, err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Backup])
	if err != nil {
		return b, fmt.Errorf("read backup %s: %w", name, notFound(err))
	}
	return b, nil
}

// BackupStanding is how well the data is kept. What is nil was never.
type BackupStanding struct {
	LastGoodAt     *time.Time `db:"last_good_at"`     // snapshot of the newest backup that is there
	LastGoodBytes  *int64     `db:"last_good_bytes"`  // of that
	LastVerifiedAt *time.Time `db:"last_verified_at"` // snapshot of the newest that was restored, and is there
	VerifiedAt     *time.Time `db:"verified_at"`      // when that was tried
	RestoreSeconds *float64   `db:"restore_seconds"`  // that it took
	LastFailedAt   *time.Time `db:"last_failed_at"`   // end of the last try that failed
	LastFailedCode *string    `db:"last_failed_code"`
	Running        int        `db:"running"`   // being made now
	Completed      int        `db:"completed"` // there
}

const backupStanding = `
SELECT good.snapshot_at AS last_good_at, good.bytes AS last_good_bytes, verified.snapshot_at AS last_verified_at, verified.verified_at,
       verified.restore_seconds::float8, failed.finished_at AS last_failed_at, failed.error ->> 'code' AS last_failed_code,
       (SELECT count(*) FROM backups WHERE state = 'running') AS running, (SELECT count(*) FROM backups WHERE state = 'completed') AS completed
FROM (VALUES (1)) one
LEFT JOIN LATERAL (SELECT snapshot_at, bytes FROM backups WHERE state = 'completed' ORDER BY snapshot_at DESC LIMIT 1) good ON true
LEFT JOIN LATERAL (SELECT snapshot_at, verified_at, restore_seconds FROM backups
                   WHERE state = 'completed' AND verified_at IS NOT NULL ORDER BY snapshot_at DESC LIMIT 1) verified ON true
LEFT JOIN LATERAL (SELECT finished_at, error FROM backups WHERE state = 'failed' ORDER BY finished_at DESC LIMIT 1) failed ON true`

// BackupStanding tells how well the data is kept: the age of the newest backup is what a loss costs at worst, and the
// seconds of the last restore are how long it takes to be back.
func (db *DB) BackupStanding(ctx context.Context) (BackupStanding, error) {
	rows, err := db.pool.Query(ctx, backupStanding)
	if err != nil {
		return BackupStanding{}, fmt.Errorf("look how old backups are: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BackupStanding])
	if err != nil {
		return s, fmt.Errorf("look how old backups are: %w", err)
	}
	return s, nil
}
