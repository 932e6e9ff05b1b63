package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
)

// backUpArgs are River's arguments of db.backup.
type backUpArgs struct{ Cue }

// Kind implements river.JobArgs.
func (backUpArgs) Kind() string { return "db.backup" }

// backingUp is the input of db.backup.
type backingUp struct {
	Verify *bool `json:"verify"` // nil: true
}

// madeBackup is the output of db.backup.
type madeBackup struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	SnapshotAt time.Time `json:"snapshot_at"`
	Bytes      int64     `json:"bytes"`
	PlainBytes int64     `json:"plain_bytes"`
	Tables     int       `json:"tables"`
	Rows       int64     `json:"rows"`
	Seconds    float64   `json:"seconds"`
	Places     []string  `json:"places"`
	NotCopied  *string   `json:"not_copied"`
	Encrypted  bool      `json:"encrypted"`
	Removed    []string  `json:"removed"`
	// Verification is the job that tries to restore it; nil: none does.
	Verification *madeBackupTry `json:"verification"`
}

type madeBackupTry struct {
	JobID string `json:"job_id"`
}

func backUpSpec(b Backing) Spec {
	return Spec{
		// A terabyte by a slow disk; a dump that hangs is ended by its own watches.
		Queue: Maintenance, Timeout: 12 * time.Hour, MaxAttempts: 4, Backoff: exponential(time.Minute, 15*time.Minute), Scope: "admin", Cron: b.Cron,
		Summary: "Makes a backup of the database, in the folder for backups and, where there is one, in the second place.",
		Notes: "The clock starts one by BACKUP_SCHEDULE as well, and one that was slept through is made up for, once. Afterwards older backups are " +
			"removed by BACKUP_RETENTION_DAYS or BACKUP_RETENTION, never the newest that was verified. A job of db.backup_verify follows, unless the input " +
			"or BACKUP_VERIFY says no. It waits while another backup or a migration is under way, and for a worker that has BACKUP_DIR.",
		InputSchema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{
			"verify":{"type":"boolean","default":true,"description":"restore it for a try afterwards"}}}`),
		OutputSchema: json.RawMessage(documentSchema(`
			"id":{"type":"string","format":"uuid"},
			"name":{"type":"string","description":"such as payaid_20270131_020000; its files begin with it"},
			"snapshot_at":{"type":"string","format":"date-time","description":"what was committed until then is in it"},
			"bytes":{"type":"integer","minimum":0,"description":"of the file"},
			"plain_bytes":{"type":"integer","minimum":0,"description":"before compression and encryption"},
			"tables":{"type":"integer","minimum":0},
			"rows":{"type":"integer","minimum":0,"description":"of all tables"},
			"seconds":{"type":"number","minimum":0,"description":"that it took"},
			"places":{"type":"array","items":{"enum":["folder","remote"]}},
			"not_copied":{"type":["string","null"],"description":"why the second place doesn't have it yet; that is tried again every ten minutes"},
			"encrypted":{"type":"boolean"},
			"removed":{"type":"array","items":{"type":"string"},"description":"names of older backups that were removed"},
			"verification":{"type":["object","null"],"required":["job_id"],"properties":{"job_id":{"type":"string","format":"uuid"}},
				"description":"the job that tries to restore it"}`,
			"id", "name", "snapshot_at", "bytes", "plain_bytes", "tables", "rows", "seconds", "places", "not_copied", "encrypted", "removed", "verification")),
		Fails: makeCodes,
		Check: func(input json.RawMessage) []Fault { return strict(input, &backingUp{}) },
	}
}

// backUp makes backups. Each attempt is a row of the history, and ends there however the attempt ends.
type backUp struct {
	Deps
	turn oneAtATime
}

// input is what the clock asks for: nothing, while what it or somebody else has asked for has not ended. A machine
// without a folder for backups would gather a job a day.
func (w backUp) input(ctx context.Context, _ cause) (any, bool, error) {
	for _, status := range []string{store.Queued, store.Running} {
		list, err := w.DB.Jobs(ctx, store.OperatorOrganization, store.JobFilter{Kind: backUpArgs{}.Kind(), Status: status, Limit: 1})
		if err != nil || len(list) > 0 {
			return nil, false, err
		}
	}
	return backingUp{}, true, nil
}

// Run implements Work.
func (w backUp) Run(ctx context.Context, _ backUpArgs, t *Task) (Result, error) {
	var in backingUp
	if err := backupInput(t.Input, &in); err != nil {
		return Result{}, err
	}
	if w.Backing.Keeper == nil {
		return Result{}, errNoFolder.before(t.Deadline)
	}
	give, err := w.turn.take()
	if err != nil {
		return Result{}, err
	}
	defer give()
	if err := t.Follow.Started(ctx); err != nil {
		return Result{}, err
	}
	book := NewBackupBook(w.DB)
	try, err := book.Begin(ctx, &t.Job, "")
	if err != nil {
		return Result{}, err
	}
	defer try.End()
	told := &bytesTold{ctx: ctx, follow: t.Follow}
	m, err := w.Backing.Keeper.Make(ctx, backup.MakeOptions{ID: try.ID, JobID: t.ID, Progress: told.heard})
	if err != nil {
		told.note()
		return Result{}, w.failed(ctx, t, try, err)
	}
	told.end()
	return w.made(ctx, t, try, m, in)
}

// failed notes why there is no backup with the end of the attempt, whatever that is.
func (w backUp) failed(ctx context.Context, t *Task, try *BackupTry, err error) error {
	end := faultAsEnd(ctx, makeCodes, "Backup not made", err)
	if errors.As(end, new(*Wait)) {
		return errors.Join(end, try.Forget(ctx))
	}
	p := problemOfBackup(ctx, err)
	t.Record(func(b *pgx.Batch) { try.queueFailure(b, p) })
	pingFailed(ctx, w.Backing.Keeper, err, t.Log)
	t.Log.Warn("backup failed", "backup_id", try.ID, "code", p.Code, "detail", p.Detail, "remedy", p.Remedy, "error", err)
	return end
}

// made is the result: the backup is on disk, whatever becomes of the rest.
func (w backUp) made(ctx context.Context, t *Task, try *BackupTry, m backup.Manifest, in backingUp) (Result, error) {
	after := NewBackupBook(w.DB).After(ctx, w.Backing.Keeper, m, t.Log)
	NotesOf(ctx).Info("the backup is made", "name", m.Name, "bytes", m.Bytes, "plain_bytes", m.PlainBytes, "tables", len(m.Tables), "rows", m.Rows(),
		"ms", m.FinishedAt.Sub(m.StartedAt).Milliseconds(), "encrypted", m.Encrypted(), "places", after.Places, "removed", after.Removed)
	out := madeBackup{ID: m.ID, Name: m.Name, SnapshotAt: m.SnapshotAt.UTC(), Bytes: m.Bytes, PlainBytes: m.PlainBytes, Tables: len(m.Tables),
		Rows: m.Rows(), Seconds: m.FinishedAt.Sub(m.StartedAt).Seconds(), Places: after.Places, NotCopied: given(after.NotCopied),
		Encrypted: m.Encrypted(), Removed: after.Removed}
	eventID := outbox.NewID()
	if !w.Backing.Unverified && (in.Verify == nil || *in.Verify) {
		id, err := cause{EventID: eventID}.jobFor(verifyBackupArgs{}.Kind())
		if err != nil {
			return Result{}, err
		}
		out.Verification = &madeBackupTry{id}
	}
	receipt, err := json.Marshal(map[string]any{"name": m.Name, "sha256": m.SHA256, "places": after.Places})
	if err != nil {
		return Result{}, err
	}
	return Result{
		Output: out, Effects: []store.Effect{{Key: effectOfRun("backup", t.Run), State: "done", Attempt: t.Attempt, Receipt: receipt}},
		Change: func(ctx context.Context, tx pgx.Tx) ([]events.Fact, error) {
			return nil, try.Complete(ctx, tx, eventID, m, after.Places)
		},
	}, nil
}
