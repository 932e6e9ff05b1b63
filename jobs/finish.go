package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// finish is the one transaction that says it all: the result, what was done outside, the fact that the
// job completed, and River's completion.
func finish(ctx context.Context, d Deps, t *Task, r Result, row *rivertype.JobRow) error {
	output, err := encode(r.Output)
	if err != nil {
		return err
	}
	err = d.DB.Tx(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		store.QueueSucceed(b, t.Hold(), output)
		if r.Save != nil {
			r.Save(b)
		}
		for _, queue := range t.records {
			queue(b)
		}
		store.QueueRiverCompletion(b, row.ID, row.Attempt)
		if err := queueEnd(b, t.Job, events.JobCompleted{
			JobID: t.ID, Kind: t.Kind, Attempt: t.Attempt, Version: t.Version + 1,
		}); err != nil {
			return err
		}
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("finish job %s: %w", t.ID, err)
		}
		for _, e := range r.Effects {
			if err := store.SettleEffect(ctx, tx, t.Hold(), e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.Hints.OutboxChanged()
	d.Hints.JobChanged(t.ID)
	return nil
}

// Fail ends a job without a result, in the caller's transaction, and states the fact. The job must
// still be the one that was read: store.ErrConflict otherwise.
func Fail(ctx context.Context, tx pgx.Tx, j store.Job, cause error, records ...func(*pgx.Batch)) error {
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
	for _, queue := range records {
		queue(b)
	}
	err = queueEnd(b, j, events.JobFailed{
		JobID: j.ID, Kind: j.Kind, Attempt: j.Attempt, Code: p.Code, Version: j.Version + 1,
	})
	if err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("fail job %s: %w", j.ID, err)
	}
	return nil
}

func queueEnd(b *pgx.Batch, j store.Job, f events.Fact) error {
	o := outbox.Origin{OrganizationID: j.OrganizationID, CausationID: j.EventID}
	if j.RequestID != nil {
		o.CorrelationID = *j.RequestID
	}
	if j.TraceParent != nil {
		o.TraceParent = *j.TraceParent
	}
	_, err := outbox.Queue(b, o, f)
	return err
}
