package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
)

// verifyBackupArgs are River's arguments of db.backup_verify. A fact says which backup, and which job made it.
type verifyBackupArgs struct {
	Cue
	Backup string `json:"backup,omitempty"`
	MadeBy string `json:"made_by,omitempty"`
}

// Kind implements river.JobArgs.
func (verifyBackupArgs) Kind() string { return "db.backup_verify" }

// verifying is the input of db.backup_verify.
type verifying struct {
	Name *string `json:"name"` // nil: the newest
}

// verifiedBackup is the output of db.backup_verify.
type verifiedBackup struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	SnapshotAt     time.Time `json:"snapshot_at"`
	State          string    `json:"state"`
	RestoreSeconds float64   `json:"restore_seconds"`
	Seconds        float64   `json:"seconds"`
	Tables         int       `json:"tables"`
	Rows           int64     `json:"rows"`
	IndexesChecked int       `json:"indexes_checked"`
	Detail         *string   `json:"detail"`
}

var backupNames = regexp.MustCompile(`^payaid_\d{8}_\d{6}$`)

var verifyBackupSpec = Spec{
	// Twice what a backup has: the file is fetched, restored, its indexes are built and read.
	Queue: Maintenance, Timeout: 24 * time.Hour, MaxAttempts: 3, Backoff: exponential(time.Minute, 15*time.Minute), Scope: "admin",
	Summary: "Restores a backup into a database of its own for a try, compares all that is in it with what was dumped, and removes that database.",
	Notes: "One follows each backup, unless BACKUP_VERIFY is off. It waits for a worker that can reach the file: by its folder (BACKUP_DIR) or the second " +
		"place. An encrypted backup can be verified where the secret key is (BACKUP_AGE_IDENTITY).",
	InputSchema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{
		"name":{"type":["string","null"],"pattern":"^payaid_[0-9]{8}_[0-9]{6}$","description":"of the backup; the newest unless given"}}}`),
	OutputSchema: json.RawMessage(documentSchema(`
		"id":{"type":"string","format":"uuid","description":"of the backup"},
		"name":{"type":"string","description":"of the backup"},
		"snapshot_at":{"type":"string","format":"date-time","description":"what was committed until then is in it"},
		"state":{"enum":["passed"]},
		"restore_seconds":{"type":"number","minimum":0,"description":"from the file until all data and indexes were there"},
		"seconds":{"type":"number","minimum":0,"description":"that all of it took"},
		"tables":{"type":"integer","minimum":0,"description":"that were compared"},
		"rows":{"type":"integer","minimum":0,"description":"that were compared"},
		"indexes_checked":{"type":"integer","minimum":0,"description":"by amcheck; 0 where the server lacks it"},
		"detail":{"type":["string","null"],"description":"what was left out"}`,
		"id", "name", "snapshot_at", "state", "restore_seconds", "seconds", "tables", "rows", "indexes_checked", "detail")),
	Fails: verifyCodes,
	Check: func(input json.RawMessage) []Fault {
		var in verifying
		if faults := strict(input, &in); faults != nil {
			return faults
		}
		if in.Name != nil && !backupNames.MatchString(*in.Name) {
			return []Fault{{"/name", "must be the name of a backup, such as payaid_20270131_020000"}}
		}
		return nil
	},
}

// verificationOf follows a backup that was made.
func verificationOf(e events.Envelope, f events.BackupCompleted) (verifyBackupArgs, bool) {
	return verifyBackupArgs{Cue: cueOf(e), Backup: f.Name, MadeBy: f.JobID}, true
}

// verifyBackup proves backups by restoring them.
type verifyBackup struct {
	Deps
	turn oneAtATime
}

// input is what follows a backup: a try to restore it, unless somebody has done so, or wants none.
func (w verifyBackup) input(ctx context.Context, args verifyBackupArgs) (any, bool, error) {
	if w.Backing.Unverified {
		return nil, false, nil
	}
	b, err := w.DB.BackupNamed(ctx, args.Backup)
	if errors.Is(err, store.ErrNotFound) || err == nil && (b.State != store.BackupCompleted || b.VerifiedAt != nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if args.MadeBy != "" {
		wanted, err := w.wanted(ctx, args.MadeBy)
		if err != nil || !wanted {
			return nil, false, err
		}
	}
	return verifying{Name: &args.Backup}, true, nil
}

// wanted reports whether the job that made a backup asked for a try. One that is deleted by now asked for it.
func (w verifyBackup) wanted(ctx context.Context, jobID string) (bool, error) {
	j, err := w.DB.FindJob(ctx, jobID)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var in backingUp
	if err := backupInput(j.Input, &in); err != nil {
		return false, err
	}
	return in.Verify == nil || *in.Verify, nil
}

// Run implements Work.
func (w verifyBackup) Run(ctx context.Context, _ verifyBackupArgs, t *Task) (Result, error) {
	var in verifying
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
	book := NewBackupBook(w.DB)
	entries, err := book.Look(ctx, w.Backing.Keeper)
	if err != nil {
		return Result{}, faultAsEnd(ctx, verifyCodes, "Backup not verified", err)
	}
	e, err := w.choose(ctx, t, book, entries, in)
	if err != nil {
		return Result{}, err
	}
	if err := t.Follow.Started(ctx); err != nil {
		return Result{}, err
	}
	told := &bytesTold{ctx: ctx, follow: t.Follow}
	v, err := w.Backing.Keeper.Verify(ctx, e.Name, told.heard)
	if ctx.Err() == nil {
		told.end()
	}
	if !v.FinishedAt.IsZero() {
		NotesOf(ctx).Info("the backup was tried", "name", e.Name, "state", v.State, "code", v.Code, "restore_ms", int64(v.RestoreSeconds*1000),
			"ms", v.FinishedAt.Sub(v.StartedAt).Milliseconds(), "tables", v.Tables, "rows", v.Rows, "indexes_checked", v.IndexesChecked)
	}
	return w.concluded(ctx, t, book, e, v, err)
}

// choose finds the backup. One that lies on another host is that host's to verify.
func (w verifyBackup) choose(ctx context.Context, t *Task, book *BackupBook, entries []backup.Entry, in verifying) (backup.Entry, error) {
	name := ""
	if in.Name != nil {
		name = *in.Name
	}
	var found *backup.Entry
	for i, e := range entries {
		newer := found == nil || e.Good() && e.Manifest.SnapshotAt.After(found.Manifest.SnapshotAt)
		if name != "" && e.Name == name || name == "" && e.Good() && newer {
			found = &entries[i]
		}
	}
	if found != nil {
		return *found, nil
	}
	host, err := book.whereabouts(ctx, name)
	if err != nil {
		return backup.Entry{}, err
	}
	if host != "" {
		return backup.Entry{}, (&Wait{Reason: fmt.Sprintf("The backup lies in the folder of the host %s alone; its worker is waited for.", host),
			After: elsewherePause}).before(t.Deadline)
	}
	f := &Failure{Code: backup.NotFound, Title: "Backup not found", Detail: "There is no backup, neither in the folder nor in the second place."}
	if name != "" {
		f.Pointer, f.Detail = "/name", fmt.Sprintf("There is no backup %s, neither in the folder nor in the second place.", name)
	}
	return backup.Entry{}, f
}

// concluded is how a try ends. What was found out is kept with the end of the attempt.
func (w verifyBackup) concluded(ctx context.Context, t *Task, book *BackupBook, e backup.Entry, v backup.Verification, err error) (Result, error) {
	if err == nil && v.State != backup.Passed {
		err = &backup.Fault{Code: v.Code, Detail: v.Detail, Remedy: "make a new backup, and keep this one until that is verified"}
	}
	if err == nil {
		return w.passed(ctx, t, book, e, v)
	}
	if v.State == backup.Failed || v.State == backup.Impossible {
		// In a transaction of its own: it is true whatever becomes of the attempt.
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookPatience)
		defer cancel()
		noted := w.DB.Tx(noting, func(tx pgx.Tx) error { return book.tell(noting, tx, t, e, v) })
		if noted != nil {
			return Result{}, noted
		}
		w.Hints.OutboxChanged()
	}
	p := problemOfBackup(ctx, err)
	pingFailed(ctx, w.Backing.Keeper, err, t.Log)
	t.Log.Warn("backup not verified", "name", e.Name, "code", p.Code, "detail", p.Detail, "remedy", p.Remedy, "error", err)
	end := faultAsEnd(ctx, verifyCodes, "Backup not verified", err)
	var failure *Failure
	if v.State == backup.Impossible && errors.As(end, &failure) && failure.Code == backup.RestoreFailed {
		end = &Passing{failure} // somebody killed pg_restore, which says nothing of the backup
	}
	return Result{}, end
}

// tell notes a try of an entry, if it is known which backup that is.
func (b *BackupBook) tell(ctx context.Context, tx pgx.Tx, t *Task, e backup.Entry, v backup.Verification) error {
	if e.Manifest == nil {
		return nil
	}
	return b.Tried(ctx, tx, &t.Job, *e.Manifest, v)
}

func (w verifyBackup) passed(ctx context.Context, t *Task, book *BackupBook, e backup.Entry, v backup.Verification) (Result, error) {
	copyBackups(ctx, w.Backing.Keeper, t.Log) // what came of it goes with the backup
	if err := w.Backing.Keeper.PingGood(ctx, *e.Manifest, &v); err != nil {
		t.Log.Warn("nobody could be told that a backup was verified", "error", err)
	}
	out := verifiedBackup{ID: e.Manifest.ID, Name: e.Name, SnapshotAt: e.Manifest.SnapshotAt.UTC(), State: v.State, RestoreSeconds: v.RestoreSeconds,
		Seconds: v.FinishedAt.Sub(v.StartedAt).Seconds(), Tables: v.Tables, Rows: v.Rows, IndexesChecked: v.IndexesChecked, Detail: given(v.Detail)}
	receipt, err := json.Marshal(map[string]any{"name": e.Name, "sha256": v.SHA256})
	if err != nil {
		return Result{}, err
	}
	return Result{
		Output: out, Effects: []store.Effect{{Key: effectOfRun("verification", t.Run), State: "done", Attempt: t.Attempt, Receipt: receipt}},
		Change: func(ctx context.Context, tx pgx.Tx) ([]events.Fact, error) { return nil, book.tell(ctx, tx, t, e, v) },
	}, nil
}
