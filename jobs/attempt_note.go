package jobs

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/likeness"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
)

// maxErrorShown is what the table of attempts takes of an error.
const maxErrorShown = 8 << 10

// ended fills in how an attempt ended, and of what.
func ended(a store.JobAttempt, o Outcome, cause error) store.JobAttempt {
	a.Outcome = string(o)
	var (
		wait    *Wait
		failure *Failure
	)
	switch {
	case o == Succeeded || cause == nil:
	case errors.As(cause, &wait):
		a.Error = revealing(wait.Reason, maxErrorShown)
		a.WaitCause = likeness.Of(a.Kind, "", wait.Reason)
	case errors.As(cause, &failure):
		a.Code, a.Error = failure.Code, revealing(failure.Detail, maxErrorShown)
	default:
		a.Code, a.Error = ClassOf(cause), revealing(cause.Error(), maxErrorShown)
	}
	switch o {
	case Failed, Retried, Lost:
		// Of what is shown, so that nobody can tell from it what is not.
		a.Fingerprint = likeness.Of(a.Kind, a.Code, a.Error)
	}
	return a
}

// noteOf is an attempt of a job whose own row says all that is known of it.
func noteOf(j store.Job) store.JobAttempt {
	a := store.JobAttempt{OrganizationID: j.OrganizationID, JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run, Attempt: j.Attempt}
	if j.RiverJobID != nil {
		a.RiverJobID = *j.RiverJobID
	}
	if j.TraceParent != nil {
		a.TraceID = telemetry.TraceID(*j.TraceParent)
	}
	return a
}

// worked adds what River knows of an attempt, and what it said.
func worked(a store.JobAttempt, row *rivertype.JobRow, journal *Journal) store.JobAttempt {
	a.RiverJobID, a.Attempt, a.Log = row.ID, row.Attempt, journal.list()
	if n := len(row.AttemptedBy); n > 0 {
		a.Worker = row.AttemptedBy[n-1]
	}
	if row.AttemptedAt != nil {
		a.StartedAt = *row.AttemptedAt
	}
	return a
}

// note is how an attempt of a requested job ended.
func (a attempt) note(t *Task, o Outcome, cause error) store.JobAttempt {
	return ended(worked(noteOf(t.Job), a.row, t.journal), o, cause)
}

// queueNote adds a good end to the batch that makes it, where it has something to say.
func (f finishing) queueNote(b *pgx.Batch) {
	if !f.task.journal.Empty() {
		store.QueueJobAttempt(b, ended(worked(noteOf(f.task.Job), f.row, f.task.journal), Succeeded, nil))
	}
}

// NoteOf is how an attempt of a job ended that facts or the clock had begun, by what it told River; false where there is
// nothing to write down: it belongs to a requested job, which writes by itself, went well and had nothing to say, or was
// put off without a reason.
func NoteOf(row *rivertype.JobRow, o Outcome, cause error, journal *Journal) (store.JobAttempt, bool) {
	var r Request
	if json.Unmarshal(row.EncodedArgs, &r) == nil && r.JobID != "" {
		return store.JobAttempt{}, false
	}
	if o == Succeeded && journal.Empty() || o == Waiting && journal.wait == "" {
		return store.JobAttempt{}, false
	}
	a := store.JobAttempt{Kind: row.Kind, Queue: row.Queue, Run: 1}
	if uuid.Validate(r.OrganizationID) == nil {
		a.OrganizationID = r.OrganizationID
	}
	if o == Waiting {
		cause = &Wait{Reason: journal.wait}
	}
	return ended(worked(a, row, journal), o, cause), true
}

// LostNote is of an attempt whose process died or lost it.
func LostNote(o store.Orphan) store.JobAttempt {
	a := store.JobAttempt{OrganizationID: o.OrganizationID, JobID: o.JobID, RiverJobID: o.RiverJobID, Kind: o.Kind, Queue: o.Queue,
		Run: max(1, o.Run), Attempt: o.Attempt, Worker: o.Worker}
	if uuid.Validate(a.OrganizationID) != nil {
		a.OrganizationID = ""
	}
	if uuid.Validate(a.JobID) != nil {
		a.JobID = ""
	}
	if o.AttemptedAt != nil {
		a.StartedAt = *o.AttemptedAt
	}
	return ended(a, Lost, errLost)
}

// errLost is of one attempt, the words of a job's end apart.
var errLost = &Failure{Code: codeLost, Detail: "The process that worked on the job died or lost it."}

const codeLost = "worker_lost"

// Plain is an error that River can write down. One with a NUL in its text would have it give up a whole batch of other
// jobs' ends.
func Plain(err error) error {
	if err == nil || !strings.ContainsRune(err.Error(), 0) {
		return err
	}
	return plainError{err}
}

type plainError struct{ error }

// Error is the text without what Postgres doesn't take.
func (e plainError) Error() string { return store.Storable(e.error.Error(), maxErrorShown) }

// Unwrap gives the error as it was.
func (e plainError) Unwrap() error { return e.error }
