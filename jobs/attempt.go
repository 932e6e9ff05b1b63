package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// An attempt is one execution of a requested job: it takes the job, does the work, and writes down in
// one transaction how it ended.
type attempt struct {
	deps    Deps
	spec    Spec
	row     *rivertype.JobRow
	request Request
	work    func(context.Context, *Task) (Result, error)
	start   func(context.Context, *starting) error
	finish  func(context.Context, finishing) error
}

// errOvertaken ends the context of work whose job somebody else has taken or ended.
var errOvertaken = errors.New("the job was taken over or ended elsewhere")

func (a attempt) run(ctx context.Context) error {
	ctx = telemetry.For(ctx, &telemetry.Purpose{Kind: a.row.Kind, JobID: a.request.JobID,
		TraceID: telemetry.TraceID(trace.TraceParent(ctx, ""))})
	s := &starting{start: store.Start{
		OrganizationID: a.request.OrganizationID, JobID: a.request.JobID, Run: a.request.Run,
		RiverJobID: a.row.ID, Attempt: a.row.Attempt,
	}}
	err := a.start(ctx, s)
	if errors.Is(err, store.ErrConflict) {
		// Cancelled, ended, or overtaken by a retry: nothing is left to do.
		return river.JobCancel(fmt.Errorf("%w: %w", errOvertaken, err))
	}
	if err != nil {
		return a.undecided(err)
	}
	job := s.job
	if trace.Of(ctx).Traced() {
		here := trace.TraceParent(ctx, "")
		job.TraceParent = &here // what comes of the attempt is a part of it
	}
	note(ctx, job)
	ctx = telemetry.For(ctx, purposeOf(job))
	a.deps.Hints.JobChanged(job.ID)

	working, overtaken := context.WithCancelCause(ctx)
	defer overtaken(nil)
	if job.Deadline != nil {
		var cancel context.CancelFunc
		working, cancel = context.WithDeadlineCause(working, *job.Deadline, Expired(*job.Deadline))
		defer cancel()
	}
	working, journal := Keeping(working, a.deps.Log, "job_id", job.ID, "kind", job.Kind, "attempt", job.Attempt)
	t := &Task{Job: job, Log: LogOf(working, a.deps.Log), journal: journal}
	t.Follow = newFollow(a.deps, &t.Job, func() { overtaken(errOvertaken) })
	result, err := safely(working, t, a.work)
	var wait *Wait
	if errors.As(err, &wait) {
		t.Follow.Waits(wait.Reason, time.Now().Add(wait.pause()))
	}
	err = errors.Join(err, t.Follow.Close())
	if settle := t.Follow.settle(); settle != nil {
		t.Record(settle)
	}
	return a.end(ctx, working, t, result, err)
}

// purposeOf is what queries of the attempt are done for.
func purposeOf(j store.Job) *telemetry.Purpose {
	p := &telemetry.Purpose{Kind: j.Kind, JobID: j.ID}
	if j.RequestID != nil {
		p.RequestID = *j.RequestID
	}
	if j.TraceParent != nil {
		p.TraceID = telemetry.TraceID(*j.TraceParent)
	}
	return p
}

// end writes down what became of the attempt.
func (a attempt) end(ctx, working context.Context, t *Task, result Result, err error) error {
	var wait *Wait
	var failure *Failure
	var passing *Passing
	switch cause := context.Cause(working); {
	case err == nil:
		return a.succeed(ctx, t, result)
	case errors.Is(cause, errOvertaken) || errors.Is(err, store.ErrConflict) && a.lost(ctx, t):
		a.keepRecords(ctx, t, Cancelled)
		return river.JobCancel(errOvertaken)
	case errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return a.cancelled(ctx, t)
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		// The process stops; the job goes back with its attempt not used up.
		a.keepRecords(ctx, t, Returned)
		return ctx.Err()
	case errors.As(cause, &failure) && working.Err() != nil:
		return a.fail(ctx, t, failure) // the deadline
	case errors.As(err, &failure):
		return a.fail(ctx, t, failure)
	case errors.As(err, &wait):
		return a.wait(ctx, t, wait)
	case errors.As(err, &passing):
		err = passing.Failure
	case ctx.Err() != nil:
		err = &Failure{Code: codeTimeout, Title: "Timeout",
			Detail: fmt.Sprintf("An attempt may take %s, and the last one took longer.", a.spec.Timeout)}
	}
	if a.row.Attempt >= a.row.MaxAttempts {
		return a.fail(ctx, t, err)
	}
	return a.retry(ctx, t, err)
}

// cancelled ends an attempt that River was told to cancel. When a client did that the job has ended; when
// an operator did, by River's own means, it ends now.
func (a attempt) cancelled(ctx context.Context, t *Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	a.keepRecords(ctx, t, Cancelled)
	err := a.deps.DB.Tx(ctx, func(tx pgx.Tx) error { return Cancel(ctx, tx, t.Job) })
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return a.undecided(err)
	}
	a.deps.Hints.OutboxChanged()
	a.deps.Hints.JobChanged(t.ID)
	return river.JobCancel(errOvertaken)
}

func (a attempt) succeed(ctx context.Context, t *Task, result Result) error {
	// What is done is done: a process that stops now, or a timeout that strikes now, must not undo it.
	ctx = context.WithoutCancel(ctx)
	err := a.finish(ctx, finishing{task: t, result: result, row: a.row})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrConflict) && a.lost(ctx, t):
		a.keepRecords(ctx, t, Cancelled)
		return river.JobCancel(errOvertaken)
	case store.IsDataError(err) || errors.Is(err, errUnencodable) || errors.Is(err, store.ErrEffectDone):
		return a.fail(ctx, t, err) // it would be refused again
	}
	a.deps.Log.Warn("result could not be stored", "job_id", t.ID, "kind", t.Kind, "attempt", a.row.Attempt, "error", err)
	return a.undecided(err)
}

// undecided is for an attempt whose outcome could not be written down. River would throw a job away
// after its last attempt, and nobody would be told.
func (a attempt) undecided(err error) error {
	if a.row.Attempt < a.row.MaxAttempts {
		return err
	}
	return river.JobSnooze(max(time.Second, a.spec.Backoff.jittered(a.row.ID, a.row.Attempt)))
}

// lost reports whether somebody else has the job by now, or it has ended.
func (a attempt) lost(ctx context.Context, t *Task) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	held, err := store.IsHeld(ctx, a.deps.DB.Pool(), t.Hold())
	return err == nil && !held
}

func (a attempt) fail(ctx context.Context, t *Task, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	a.deps.Log.Info("job failed", "job_id", t.ID, "kind", t.Kind, "attempt", a.row.Attempt,
		"organization_id", t.OrganizationID, "error", cause)
	note := a.note(t, Failed, cause)
	err := a.deps.DB.Tx(ctx, func(tx pgx.Tx) error { return FailOf(ctx, tx, t.Job, cause, note, t.records...) })
	if store.IsDataError(err) {
		// What came of it can't be stored; that it failed can, and who was asked.
		note = a.note(t, Failed, err)
		err = a.deps.DB.Tx(ctx, func(tx pgx.Tx) error { return FailOf(ctx, tx, t.Job, err, note) })
		a.keepRecords(ctx, t, "")
	}
	if errors.Is(err, store.ErrConflict) {
		a.keepRecords(ctx, t, Cancelled)
		return river.JobCancel(errOvertaken)
	}
	if err != nil {
		return a.undecided(err)
	}
	a.deps.Hints.OutboxChanged()
	a.deps.Hints.JobChanged(t.ID)
	return river.JobCancel(Plain(cause))
}

// wait puts the job off. River counts a snooze as no attempt.
func (a attempt) wait(ctx context.Context, t *Task, w *Wait) error {
	after := w.pause()
	if err := a.postpone(ctx, t, w.Reason, after, a.note(t, Waiting, w)); err != nil {
		return err
	}
	return river.JobSnooze(after)
}

func (a attempt) retry(ctx context.Context, t *Task, cause error) error {
	after := a.spec.Backoff.jittered(a.row.ID, a.row.Attempt)
	reason := "The last attempt failed for a reason on our side; it will be tried again."
	var f *Failure
	if errors.As(cause, &f) {
		reason = f.Detail
	}
	a.deps.Log.Warn("job will be tried again", "job_id", t.ID, "kind", t.Kind, "attempt", a.row.Attempt,
		"organization_id", t.OrganizationID, "in_ms", after.Milliseconds(), "error", cause)
	if err := a.postpone(ctx, t, reason, after, a.note(t, Retried, cause)); err != nil {
		return err
	}
	return Plain(cause)
}

// postpone writes down that the job goes on later, and how the attempt ended.
func (a attempt) postpone(ctx context.Context, t *Task, reason string, after time.Duration, note store.JobAttempt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	a.keepRecords(ctx, t, "")
	b := &pgx.Batch{}
	store.QueueJobWait(b, t.Hold(), reason, time.Now().Add(after))
	store.QueueJobAttempt(b, note)
	err := a.deps.DB.Send(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		a.keepRecords(ctx, t, Cancelled)
		return river.JobCancel(errOvertaken)
	}
	if err != nil {
		return a.undecided(fmt.Errorf("let job %s wait: %w", t.ID, err))
	}
	a.deps.Hints.JobChanged(t.ID)
	return nil
}

// keepRecords writes the records of an attempt that ends without a transaction of its own, and how it ended; "" where
// that is written elsewhere.
func (a attempt) keepRecords(ctx context.Context, t *Task, o Outcome) {
	b := &pgx.Batch{}
	for _, queue := range t.records {
		queue(b)
	}
	if o != "" {
		store.QueueJobAttempt(b, a.note(t, o, nil))
	}
	if b.Len() == 0 {
		return
	}
	t.records = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := a.deps.DB.Send(ctx, b); err != nil {
		a.deps.Log.Error("records of an attempt are lost", "job_id", t.ID, "kind", t.Kind, "error", err)
	}
}

// safely turns a panic of the work into an error, with the stack for the log.
func safely(ctx context.Context, t *Task, work func(context.Context, *Task) (Result, error)) (r Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return work(ctx, t)
}

var _ slog.LogValuer = (*Failure)(nil)

// LogValue keeps a failure to its code: the sentence is the client's.
func (f *Failure) LogValue() slog.Value { return slog.StringValue(f.Code) }
