package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// A chunk is some jobs of a bulk action that one transaction acts on.
type chunk struct {
	bulk     store.BulkAction
	tx       pgx.Tx
	queues   map[string]Queue
	left     places
	outcomes []store.BulkOutcome
	changed  []string // ids of jobs whose clients may be told
}

func (c *chunk) note(n int, reason string) {
	o := store.BulkOutcome{N: n, Outcome: store.BulkItemDone}
	if reason != "" {
		o.Outcome, o.Reason = store.BulkItemSkipped, reason
	}
	c.outcomes = append(c.outcomes, o)
}

// act does what is wanted with jobs that are still as they were, and passes over the others.
func (c *chunk) act(ctx context.Context, items []store.BulkItem) error {
	var organizations, ids []string
	for _, i := range items {
		if i.JobID != nil && i.OrganizationID != nil {
			organizations, ids = append(organizations, *i.OrganizationID), append(ids, *i.JobID)
		}
	}
	found, err := store.LockBulkJobs(ctx, c.tx, organizations, ids)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	for _, i := range items {
		if i.JobID == nil {
			err = c.internal(ctx, i)
		} else {
			err = c.requested(ctx, b, i, found)
		}
		if err != nil {
			return err
		}
	}
	if b.Len() == 0 {
		return nil
	}
	if err := c.tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("%s %d jobs: %w", c.bulk.Action, len(c.changed), err)
	}
	return nil
}

func (c *chunk) requested(ctx context.Context, b *pgx.Batch, i store.BulkItem, found map[string]store.BulkJob) error {
	j, there := found[*i.JobID]
	reason := store.BulkUnfit(c.bulk.Action, i.Status, j.Status)
	switch {
	case !there:
		reason = store.SkipGone
	case j.Run != i.Run:
		reason = store.SkipRetried
	}
	c.note(i.N, reason)
	if reason != "" {
		return nil
	}
	c.changed = append(c.changed, j.ID)
	switch c.bulk.Action {
	case store.BulkRetry:
		return c.retry(ctx, b, j)
	case store.BulkCancel:
		store.QueueCancel(b, j)
		_, err := outbox.Queue(b, originOfBulk(j), events.JobCancelled{JobID: j.ID, Kind: j.Kind, Version: j.Version + 1, Callback: j.CallsBack})
		return err
	}
	store.QueueDelete(b, j)
	return nil
}

// retry gives a job a new run, as one that is asked for again by itself, within its organization's share.
func (c *chunk) retry(ctx context.Context, b *pgx.Batch, j store.BulkJob) error {
	place, overflow := store.Fair, j.Overflow
	if q, known := c.queues[j.Queue]; known && j.Over() {
		full, err := c.left.full(ctx, c.tx, j.OrganizationID, q)
		if err != nil {
			return err
		}
		overflow = full
		c.left.take(store.Job{OrganizationID: j.OrganizationID, Queue: j.Queue, Overflow: full})
	}
	if overflow {
		place = store.Overflow
	}
	eventID := outbox.NewID()
	store.QueueRequeue(b, j, eventID, place)
	return outbox.QueueAs(b, eventID, originOfBulk(j), events.JobRequested{JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run + 1,
		Priority: j.Priority, MaxAttempts: j.MaxAttempts, RunAt: j.Now, Overflow: overflow, Version: j.Version + 1})
}

func originOfBulk(j store.BulkJob) outbox.Origin {
	return originOf(store.Job{OrganizationID: j.OrganizationID, EventID: j.EventID, RequestID: j.RequestID, TraceParent: j.TraceParent})
}

// internal acts on a job of River's that no client asked for, by River's own means.
func (c *chunk) internal(ctx context.Context, i store.BulkItem) error {
	now, err := store.LockRiverStatus(ctx, c.tx, *i.RiverJobID)
	if errors.Is(err, store.ErrNotFound) {
		c.note(i.N, store.SkipGone)
		return nil
	}
	if err != nil {
		return err
	}
	reason := store.BulkUnfit(c.bulk.Action, i.Status, now)
	c.note(i.N, reason)
	if reason != "" {
		return nil
	}
	client, err := inserterOf(ctx)
	if err != nil {
		return err
	}
	switch c.bulk.Action {
	case store.BulkRetry:
		_, err = client.JobRetryTx(ctx, c.tx, *i.RiverJobID)
	case store.BulkCancel:
		_, err = client.JobCancelTx(ctx, c.tx, *i.RiverJobID)
	default:
		_, err = client.JobDeleteTx(ctx, c.tx, *i.RiverJobID)
	}
	if err != nil && !errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("%s River's job %d: %w", c.bulk.Action, *i.RiverJobID, err)
	}
	return nil
}
