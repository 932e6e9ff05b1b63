package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
)

// A BackupBook writes down what becomes of backups, and states the facts. What it says follows from the manifests
// beside the dumps, wherever it differs.
type BackupBook struct {
	db   *store.DB
	host string
}

// NewBackupBook writes into db, which is of role store.System.
func NewBackupBook(db *store.DB) *BackupBook { return &BackupBook{db, hostName()} }

const (
	// A row that says that a backup is being made is touched so often, and is lost after such a silence.
	bookBeat     = 10 * time.Second
	bookSilence  = 2 * time.Minute
	bookPatience = 10 * time.Second
)

// A BackupTry is a backup that is being made.
type BackupTry struct {
	ID   string // of the manifest to come
	name string
	job  *store.Job // nil: a command's
	book *BackupBook
	stop context.CancelFunc
	done chan struct{}
}

// Begin notes that a backup is being made, until it is completed, failed or forgotten. What an earlier attempt of the
// same job has begun was lost.
func (b *BackupBook) Begin(ctx context.Context, job *store.Job, workerID string) (*BackupTry, error) {
	now := time.Now().UTC()
	try := &BackupTry{ID: outbox.NewID(), name: now.Format("payaid_20060102_150405"), job: job, book: b, done: make(chan struct{})}
	row := store.Backup{ID: try.ID, Name: try.name, Host: b.host, StartedAt: now}
	jobID := ""
	if job != nil {
		jobID, row.JobID = job.ID, &job.ID
	}
	if workerID != "" {
		row.WorkerID = &workerID
	}
	if err := b.Lose(ctx, jobID); err != nil {
		return nil, err
	}
	begun, err := store.BeginBackup(ctx, b.db.Pool(), row)
	if err == nil && !begun {
		try.name += "#" + try.ID // two in one second
		row.Name = try.name
		_, err = store.BeginBackup(ctx, b.db.Pool(), row)
	}
	if err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	try.stop = stop
	go try.beat(beating)
	return try, nil
}

func (t *BackupTry) beat(ctx context.Context) {
	defer close(t.done)
	tick := time.NewTicker(bookBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		beating, cancel := context.WithTimeout(ctx, bookPatience)
		_ = store.BeatBackup(beating, t.book.db.Pool(), t.ID) // the next one is soon enough
		cancel()
	}
}

// End stops the signs of life. What became of the try is written down by then, or with the end of its job.
func (t *BackupTry) End() {
	t.stop()
	<-t.done
}

// Forget takes back that it was begun, as its turn has not come.
func (t *BackupTry) Forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookPatience)
	defer cancel()
	return store.ForgetBackup(ctx, t.book.db.Pool(), t.ID)
}

// queueFailure adds to a batch that it came to nothing, and why.
func (t *BackupTry) queueFailure(b *pgx.Batch, p backupProblem) {
	store.QueueFailBackup(b, t.ID, p.json())
	// Of texts and numbers, so it can be encoded.
	_, _ = outbox.Queue(b, t.origin(), events.BackupFailed{BackupID: t.ID, Name: t.name, JobID: t.jobID(), Stage: "backup", Code: p.Code, Version: 2})
}

// Fail notes that it came to nothing.
func (t *BackupTry) Fail(ctx context.Context, err error) error {
	p := problemOfBackup(ctx, err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookPatience)
	defer cancel()
	batch := &pgx.Batch{}
	t.queueFailure(batch, p)
	if err := t.book.db.Send(ctx, batch); err != nil {
		return fmt.Errorf("note that backup %s failed: %w", t.name, err)
	}
	return nil
}

// Complete notes that it is there, in the caller's transaction, as the event of that id.
func (t *BackupTry) Complete(ctx context.Context, tx pgx.Tx, eventID string, m backup.Manifest, places []string) error {
	version, err := t.book.complete(ctx, tx, m, places, slices.Contains(places, backup.InRemote))
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	err = outbox.QueueAs(batch, eventID, t.origin(), events.BackupCompleted{BackupID: m.ID, Name: m.Name, JobID: t.jobID(), SnapshotAt: m.SnapshotAt,
		Bytes: m.Bytes, Tables: len(m.Tables), Rows: m.Rows(), Encrypted: m.Encrypted(), Places: places, Version: max(version, 2)})
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, batch).Close()
}

func (t *BackupTry) jobID() string {
	if t.job == nil {
		return ""
	}
	return t.job.ID
}

// origin is what led to the facts about it. They are the operator's, whoever asked.
func (t *BackupTry) origin() outbox.Origin { return operatorOrigin(t.job) }

func operatorOrigin(j *store.Job) outbox.Origin {
	o := outbox.Origin{}
	if j != nil {
		o = originOf(*j)
	}
	o.OrganizationID = store.OperatorOrganization
	return o
}

func (b *BackupBook) complete(ctx context.Context, tx pgx.Tx, m backup.Manifest, places []string, remote bool) (int64, error) {
	manifest, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("encode the manifest of %s: %w", m.Name, err)
	}
	row := store.Backup{ID: m.ID, Name: m.Name, Host: b.host, Places: places, Manifest: manifest, StartedAt: m.StartedAt,
		SnapshotAt: &m.SnapshotAt, FinishedAt: &m.FinishedAt, Bytes: &m.Bytes}
	if m.JobID != "" {
		row.JobID = &m.JobID
	}
	return store.CompleteBackup(ctx, tx, row, remote)
}

// Lose notes that backups were lost which nobody makes any more, and those of a job ("": none) whose turn it is again.
func (b *BackupBook) Lose(ctx context.Context, jobID string) error {
	return b.db.Tx(ctx, func(tx pgx.Tx) error {
		lost, err := store.LoseBackups(ctx, tx, jobID, bookSilence, lostProblem.json())
		if err != nil {
			return err
		}
		return failedFacts(ctx, tx, lost, historyLost)
	})
}

func failedFacts(ctx context.Context, tx pgx.Tx, list []store.Backup, code string) error {
	for _, l := range list {
		f := events.BackupFailed{BackupID: l.ID, Name: l.Name, Stage: "backup", Code: code, Version: l.Version}
		if l.JobID != nil {
			f.JobID = *l.JobID
		}
		if err := outbox.Append(ctx, tx, operatorOrigin(nil), f); err != nil {
			return err
		}
	}
	return nil
}

// Look brings the book in line with what lies in the folder and in the remote place: backups that it didn't know, as
// after a restore, those that somebody removed by hand, and those that are no good any more. It gives what is there of
// this database: another's backups in the same folder say nothing of how well this one is kept. Where there is no book,
// as b is nil, it gives all.
func (b *BackupBook) Look(ctx context.Context, k Backups) ([]backup.Entry, error) {
	began := time.Now()
	entries, err := k.List(ctx)
	if err != nil || b == nil {
		return entries, err
	}
	seen := store.Look{Began: began, Host: b.host, Remote: sawRemote(entries)}
	for _, e := range entries {
		seen.Names = append(seen.Names, e.Name)
	}
	err = b.db.Tx(ctx, func(tx pgx.Tx) error {
		if entries, err = own(ctx, tx, entries); err != nil {
			return err
		}
		for _, e := range entries {
			if err := b.note(ctx, tx, e, seen.Remote); err != nil {
				return err
			}
		}
		return store.MissBackups(ctx, tx, seen)
	})
	if err != nil {
		return nil, fmt.Errorf("write down which backups there are: %w", err)
	}
	return entries, nil
}

// own leaves out the backups of other databases.
func own(ctx context.Context, tx pgx.Tx, entries []backup.Entry) ([]backup.Entry, error) {
	ids := []string{}
	for _, e := range entries {
		if e.Manifest != nil {
			ids = append(ids, e.Manifest.ID)
		}
	}
	database, known, err := store.KnownBackups(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e backup.Entry) bool {
		return e.Manifest != nil && e.Manifest.Database != database && !slices.Contains(known, e.Manifest.ID)
	}), nil
}

// sawRemote reports whether the remote place was looked at: without one, or while it doesn't answer, nothing is in it.
// One that is empty is taken for one that doesn't answer.
func sawRemote(entries []backup.Entry) bool {
	return slices.ContainsFunc(entries, func(e backup.Entry) bool { return slices.Contains(e.Places, backup.InRemote) })
}

// note writes down what is known of one backup. What the book says already is left as it is.
func (b *BackupBook) note(ctx context.Context, tx pgx.Tx, e backup.Entry, remote bool) error {
	if e.Problem != nil || e.Manifest == nil {
		p := backupProblem{Code: backup.ManifestInvalid, Detail: "its manifest is gone", Remedy: "make a new one"}
		if e.Problem != nil {
			p = backupProblem{e.Problem.Code, e.Problem.Detail, e.Problem.Remedy}
		}
		spoilt, err := store.SpoilBackup(ctx, tx, e.Name, p.json())
		if err != nil {
			return err
		}
		return failedFacts(ctx, tx, spoilt, p.Code)
	}
	if _, err := b.complete(ctx, tx, *e.Manifest, e.Places, remote); err != nil {
		return err
	}
	if e.Verification == nil || e.Verification.SHA256 != e.Manifest.SHA256 {
		return nil
	}
	_, err := tried(ctx, tx, e.Manifest.ID, *e.Verification)
	return err
}

// tried keeps what came of a try to restore a backup, and gives the version of that, 0 when it was known.
func tried(ctx context.Context, tx pgx.Tx, id string, v backup.Verification) (int64, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("encode the verification of %s: %w", v.Name, err)
	}
	t := store.TriedBackup{ID: id, Verification: raw, Undecided: v.State == backup.Impossible}
	if v.State == backup.Passed {
		t.VerifiedAt, t.RestoreSeconds = &v.FinishedAt, &v.RestoreSeconds
	}
	return store.VerifyBackup(ctx, tx, t)
}

// Tried notes what came of a try to restore a backup, and states it, in the caller's transaction.
func (b *BackupBook) Tried(ctx context.Context, tx pgx.Tx, job *store.Job, m backup.Manifest, v backup.Verification) error {
	version, err := tried(ctx, tx, m.ID, v)
	if err != nil {
		return err
	}
	jobID := ""
	if job != nil {
		jobID = job.ID
	}
	switch v.State {
	case backup.Passed:
		return outbox.Append(ctx, tx, operatorOrigin(job), events.BackupVerified{BackupID: m.ID, Name: m.Name, JobID: jobID,
			RestoreSeconds: v.RestoreSeconds, Tables: v.Tables, Rows: v.Rows, Version: max(version, 2)})
	case backup.Failed:
		return outbox.Append(ctx, tx, operatorOrigin(job), events.BackupFailed{BackupID: m.ID, Name: m.Name, JobID: jobID,
			Stage: "verification", Code: v.Code, Version: max(version, 2)})
	}
	return nil
}

// whereabouts says where a backup is that is not here: on which host, or nowhere.
func (b *BackupBook) whereabouts(ctx context.Context, name string) (host string, err error) {
	row, err := b.db.BackupNamed(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil || row.State != store.BackupCompleted || row.Host == b.host || !slices.Contains(row.Places, backup.InFolder) {
		return "", err
	}
	return row.Host, nil
}
