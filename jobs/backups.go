package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/backup"
)

// Backups keeps backups of the database; see internal/backup.
type Backups interface {
	Make(context.Context, backup.MakeOptions) (backup.Manifest, error)
	List(context.Context) ([]backup.Entry, error)
	Verify(ctx context.Context, name string, progress func(backup.Progress)) (backup.Verification, error)
	Retain(context.Context) (removed []string, err error)
	Copy(context.Context) (backup.Copies, error)
	Sweep(context.Context) error
	PingGood(context.Context, backup.Manifest, *backup.Verification) error
	PingFailed(context.Context, error) error
}

// Backing is how this process makes backups.
type Backing struct {
	Keeper Backups // nil: it has no folder for them
	Cron   string  // when they are made, in UTC; "" where Keeper is nil, NoCron: when somebody asks
	// Unverified leaves each backup as it was made; else it is restored for a try afterwards.
	Unverified bool
}

const (
	// elsewherePause is how long work waits for a process that can do it: any of them may take it next.
	elsewherePause = 15 * time.Second
	// busyPause is how long work waits for a backup, a verification or a migration to end.
	busyPause = 30 * time.Second
)

var errNoFolder = &Wait{Reason: "No folder for backups is configured on this worker (BACKUP_DIR); one that has it is waited for.", After: elsewherePause}

// backupCodes are what backups fail of.
var backupCodes = []Code{
	{backup.DatabaseAway, statusUnprocessable, "Postgres can't be reached by BACKUP_DATABASE_URL, or went away."},
	{backup.LoginTooWeak, statusUnprocessable, "The login of BACKUP_DATABASE_URL doesn't see every row, or may not make databases."},
	{backup.ClientVersion, statusUnprocessable, "A program of Postgres, pg_dump or pg_restore, is missing, or of another major version than the server."},
	{backup.DiskFull, statusUnprocessable, "The disk is full, or too little is left to begin."},
	{backup.FolderUnusable, statusUnprocessable, "The folder of backups is not there, not for us alone, or not writable."},
	{backup.RemoteFailed, statusUnprocessable, "The second place did not take or give the backup."},
	{backup.Busy, statusUnprocessable, "Another backup or a migration was running all the time."},
	{codeBackup, statusUnprocessable, "What became of it is not known to this program; the detail says more."},
}

var makeCodes = append([]Code{
	{backup.DumpFailed, statusUnprocessable, "The program pg_dump ended with an error, or was killed."},
	{backup.LockTimeout, statusUnprocessable, "A table was locked by a change of the schema."},
}, backupCodes...)

var verifyCodes = append([]Code{
	{backup.NotFound, statusUnprocessable, "There is no such backup, or it was removed."},
	{backup.ManifestInvalid, statusUnprocessable, "The manifest is missing, was changed, or is of another backup."},
	{backup.Truncated, statusUnprocessable, "The file is shorter than its manifest says."},
	{backup.Corrupted, statusUnprocessable, "The file is not what was written."},
	{backup.KeyMissing, statusUnprocessable, "The backup is encrypted, and this worker has no key (BACKUP_AGE_IDENTITY)."},
	{backup.WrongKey, statusUnprocessable, "None of the keys given opens the backup."},
	{backup.RestoreFailed, statusUnprocessable, "The program pg_restore ended with an error, or was killed."},
	{backup.CannotRestore, statusUnprocessable, "The server lacks what the backup needs: an extension, a locale, or a newer version."},
	{backup.Different, statusUnprocessable, "What was restored is not what was dumped."},
	{backup.DatabaseExists, statusUnprocessable, "A database of the name that was to be restored into is there already."},
}, backupCodes...)

// Codes of backups that no fault of the backup itself ended.
const (
	historyCancelled   = "cancelled"
	historyInterrupted = "interrupted"
	historyLost        = "worker_lost"
	codeBackup         = "backup"
)

// backupProblem is what the history keeps of a backup that failed.
type backupProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

func (p backupProblem) json() json.RawMessage {
	raw, _ := json.Marshal(p) // of three texts: can't fail
	return raw
}

var lostProblem = backupProblem{historyLost, "the process that made it died", "nothing: the next one is made anew"}

// problemOfBackup is why a backup was not made, or not proven; ctx is that of the work.
func problemOfBackup(ctx context.Context, err error) backupProblem {
	var fault *backup.Fault
	cause := context.Cause(ctx)
	switch {
	case errors.As(cause, new(*Failure)):
		return backupProblem{codeDeadline, "the job's deadline passed", "ask for it again, with more time"}
	case errors.Is(cause, context.DeadlineExceeded):
		return backupProblem{codeTimeout, "it took longer than it may", "find out what is slow: the disk, the network or the database"}
	case errors.Is(cause, errOvertaken), errors.Is(cause, rivertype.ErrJobCancelledRemotely):
		return backupProblem{historyCancelled, "somebody cancelled it", "nothing: the next one is made anew"}
	case ctx.Err() != nil:
		return backupProblem{historyInterrupted, "the process that made it was stopped", "nothing: it is made anew"}
	case errors.As(err, &fault):
		return backupProblem{fault.Code, fault.Detail, fault.Remedy}
	}
	return backupProblem{codeInternal, "it failed for a reason on our side", "look at the worker's log"}
}

// passingFaults may be over at the next attempt.
var passingFaults = map[string]bool{backup.DatabaseAway: true, backup.DumpFailed: true, backup.LockTimeout: true, backup.RemoteFailed: true}

// faultAsEnd turns a fault into how an attempt ends: put off, tried again, or failed for good.
func faultAsEnd(ctx context.Context, codes []Code, title string, err error) error {
	var fault *backup.Fault
	if ctx.Err() != nil || !errors.As(err, &fault) {
		return err
	}
	if fault.Code == backup.Busy {
		return &Wait{Reason: inWords(fault.Detail), After: busyPause}
	}
	f := &Failure{Code: codeBackup, Title: title, Detail: withRemedy(fault)}
	for _, c := range codes {
		if c.Name == fault.Code {
			f.Code = c.Name
		}
	}
	if passingFaults[fault.Code] {
		return &Passing{f}
	}
	return f
}

// inWords is the sentence that a fault's words make.
func inWords(words string) string {
	if strings.HasPrefix(words, "pg_") {
		words = "the program " + words
	}
	return sentence(strings.TrimSuffix(words, "."))
}

// withRemedy says what is wrong and what to do.
func withRemedy(f *backup.Fault) string {
	if f.Remedy == "" {
		return inWords(f.Detail)
	}
	return inWords(f.Detail) + " What to do: " + inWords(f.Remedy)
}

// bytesTold tells a follower how far a backup is, not too often. The stages follow each other, and what was told never
// goes back.
type bytesTold struct {
	ctx    context.Context
	follow *Follow
	at     time.Time // it was told last
	stage  string
	before int64 // bytes of the stages that are over
	in     int64 // of the stage that is on
	total  int64
	since  time.Time // of the stage that is on
}

const (
	bytesEvery = time.Second
	// bytesPatience keeps a database that doesn't answer from holding up the dump for long.
	bytesPatience = 2 * time.Second
)

func (b *bytesTold) heard(p backup.Progress) {
	if p.Stage != b.stage {
		b.note()
		b.before, b.in, b.stage = b.before+b.in, 0, p.Stage
	}
	b.in = max(b.in, p.Bytes)
	b.total = max(b.total, b.before+max(p.Total, b.in))
	if time.Since(b.at) >= bytesEvery && b.before+b.in > 0 {
		b.tell(b.total)
	}
}

// tell is not told itself when it fails: whoever has lost the job hears of it by the events that come with it.
func (b *bytesTold) tell(total int64) {
	b.at = time.Now()
	ctx, cancel := context.WithTimeout(b.ctx, bytesPatience)
	defer cancel()
	_ = b.follow.Progress(ctx, b.before+b.in, total)
}

// note says of the stage that is over how much was done in it, and how long that took.
func (b *bytesTold) note() {
	if b.stage != "" {
		NotesOf(b.ctx).Info("a step is over", "step", b.stage, "bytes", b.in, "ms", time.Since(b.since).Milliseconds())
	}
	b.since = time.Now()
}

// end tells the rest.
func (b *bytesTold) end() {
	b.note()
	b.stage = ""
	b.tell(b.before + b.in)
}

// oneAtATime is the turn of what takes hours: side by side a backup and a verification would keep both places of the
// queue from what keeps house, and share one disk anyhow.
type oneAtATime chan struct{}

func (o oneAtATime) take() (give func(), err error) {
	select {
	case o <- struct{}{}:
		return func() { <-o }, nil
	default:
		return nil, &Wait{Reason: "A backup or a verification is under way in this worker.", After: busyPause}
	}
}

// hostName is what this machine's folder is known by.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// backupInput reads the input of a kind about backups; an empty one is like none.
func backupInput(raw json.RawMessage, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	return nil
}
