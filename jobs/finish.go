package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// A finishing is a job whose work has come to a result.
type finishing struct {
	task   *Task
	result Result
	row    *rivertype.JobRow
}

// finishTogether ends jobs whose work is done at the same time, in one transaction. If one of them can't
// be ended, or takes locks on other people's rows, each is ended by itself.
func finishTogether(ctx context.Context, d Deps, list []finishing) []error {
	errs := make([]error, len(list))
	if len(list) == 1 || !slices.ContainsFunc(list, finishing.locks) {
		err := finish(ctx, d, list...)
		if err == nil {
			return errs
		}
		if len(list) == 1 {
			return []error{err}
		}
	}
	for i, f := range list {
		errs[i] = finish(ctx, d, f)
	}
	return errs
}

// finish is the one transaction that says it all: the result, what was done outside, the fact that the
// job completed, and River's completion. Trying it again is safe, as it only ends what is still held.
func finish(ctx context.Context, d Deps, list ...finishing) error {
	// Everybody who locks several of River's rows does so in this order.
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b finishing) int { return cmp.Compare(a.row.ID, b.row.ID) })
	return persist(ctx, func(ctx context.Context) error { return finishOnce(ctx, d, list) })
}

func finishOnce(ctx context.Context, d Deps, list []finishing) error {
	b := &pgx.Batch{}
	for _, f := range list {
		if err := f.queue(b); err != nil {
			return err
		}
	}
	changed := make([][]events.Fact, len(list))
	err := d.DB.Tx(ctx, func(tx pgx.Tx) error {
		for i, f := range list {
			facts, err := f.change(ctx, tx)
			if err != nil {
				return err
			}
			changed[i] = facts
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("finish job %s: %w", list[0].task.ID, err)
	}
	for i, f := range list {
		f.invalidate(ctx, d, changed[i])
	}
	d.Hints.OutboxChanged()
	for _, f := range list {
		d.Hints.JobChanged(f.task.ID)
	}
	return nil
}

func (f finishing) locks() bool { return f.result.Change != nil }

// change makes the result's changes, and states them.
func (f finishing) change(ctx context.Context, tx pgx.Tx) ([]events.Fact, error) {
	if f.result.Change == nil {
		return nil, nil
	}
	facts, err := f.result.Change(ctx, tx)
	if err != nil || len(facts) == 0 {
		return nil, err
	}
	return facts, outbox.Append(ctx, tx, originOf(f.task.Job), facts...)
}

// invalidate makes void what is cached of what has changed, so that whoever hears of the job's end reads the
// change. Where Redis does not answer the facts see to it.
func (f finishing) invalidate(ctx context.Context, d Deps, facts []events.Fact) {
	var tags []string
	for _, fact := range facts {
		tags = append(tags, cachetag.TagsOf(fact)...)
	}
	if d.Cache == nil || len(tags) == 0 {
		return
	}
	if err := d.Cache.Bump(ctx, f.task.OrganizationID, tags...); err != nil {
		d.Log.Debug("invalidation is owed", "job_id", f.task.ID, "organization_id", f.task.OrganizationID, "error", err)
	}
}

func (f finishing) queue(b *pgx.Batch) error {
	output, err := encode(f.result.Output)
	if err != nil {
		return err
	}
	t := f.task
	store.QueueSucceed(b, t.Hold(), output)
	store.QueueRiverCompletion(b, f.row.ID, f.row.Attempt)
	if f.result.Save != nil {
		f.result.Save(b)
	}
	for _, e := range f.result.Effects {
		store.QueueEffect(b, t.Hold(), e)
	}
	for _, queue := range t.records {
		queue(b)
	}
	f.queueNote(b)
	return queueEnd(b, t.Job, events.JobCompleted{
		JobID: t.ID, Kind: t.Kind, Attempt: t.Attempt, Version: t.Version + 1, Callback: t.CallsBack(),
	})
}

// Fail ends a job without a result, in the caller's transaction, and states the fact. The job must
// still be the one that was read: store.ErrConflict otherwise.
func Fail(ctx context.Context, tx pgx.Tx, j store.Job, cause error) error {
	return FailOf(ctx, tx, j, cause, ended(noteOf(j), Failed, cause))
}

// FailOf is Fail where more is known of the attempt that the job ends with than its row says.
func FailOf(ctx context.Context, tx pgx.Tx, j store.Job, cause error, note store.JobAttempt, records ...func(*pgx.Batch)) error {
	p := problemOf(j, cause)
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the problem of job %s: %w", j.ID, err)
	}
	var output json.RawMessage
	var f *Failure
	if errors.As(cause, &f) {
		if output, err = encode(f.Output); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	store.QueueFail(b, j.Hold(), data, output)
	store.QueueJobAttempt(b, note)
	for _, queue := range records {
		queue(b)
	}
	err = queueEnd(b, j, events.JobFailed{
		JobID: j.ID, Kind: j.Kind, Attempt: j.Attempt, Code: p.Code, Version: j.Version + 1, Callback: j.CallsBack(),
	})
	if err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("fail job %s: %w", j.ID, err)
	}
	return nil
}

// Cancel ends a job whose work was cancelled by other means than ours, in the caller's transaction, and
// states the fact. store.ErrConflict when it has ended, or has a later run.
func Cancel(ctx context.Context, tx pgx.Tx, j store.Job) error {
	now, err := store.LockJob(ctx, tx, j.OrganizationID, j.ID)
	if err != nil {
		return err
	}
	if now.Terminal() || now.Run != j.Run {
		return store.ErrConflict
	}
	if now, err = store.CancelJob(ctx, tx, j.OrganizationID, j.ID); err != nil {
		return err
	}
	b := &pgx.Batch{}
	f := events.JobCancelled{JobID: now.ID, Kind: now.Kind, Version: now.Version, Callback: now.CallsBack()}
	if err := queueEnd(b, now, f); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("cancel job %s: %w", j.ID, err)
	}
	return nil
}

func queueEnd(b *pgx.Batch, j store.Job, f events.Fact) error {
	_, err := outbox.Queue(b, originOf(j), f)
	return err
}

// originOf is what led to the events of a job.
func originOf(j store.Job) outbox.Origin {
	o := outbox.Origin{OrganizationID: j.OrganizationID, CausationID: j.EventID}
	if j.RequestID != nil {
		o.CorrelationID = *j.RequestID
	}
	if j.TraceParent != nil {
		o.TraceParent = *j.TraceParent
	}
	return o
}
