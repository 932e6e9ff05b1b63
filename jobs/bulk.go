package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// bulkArgs are the arguments of admin.bulk: what an operator wants done with many jobs stands with the bulk action.
type bulkArgs struct {
	BulkID string `json:"bulk_id"`
}

// Kind implements river.JobArgs.
func (bulkArgs) Kind() string { return "admin.bulk" }

var bulkSpec = Spec{
	Queue: Maintenance, Timeout: 30 * time.Minute, MaxAttempts: 25, Backoff: exponential(time.Second, time.Minute),
}

// bulkAskedFor has a bulk action carried out.
func bulkAskedFor(_ events.Envelope, f events.BulkRequested) (bulkArgs, bool) {
	return bulkArgs{BulkID: f.BulkID}, true
}

// carryOut does with many jobs what an operator wants done, a few hundred a transaction, which also says how far it has
// come: a killed one goes on there, and does nothing twice. A job with which it can't be done costs the others nothing.
type carryOut struct{ deps Deps }

// bulkAtOnce keeps transactions short, as other workers wait for the jobs' locks.
const bulkAtOnce = 250

// Run implements Chore.
func (w carryOut) Run(ctx context.Context, args bulkArgs) error {
	at := bulkAtOnce
	told := &bulkTold{ctx: ctx, since: time.Now()}
	defer told.rest()
	for {
		n, err := w.next(ctx, args.BulkID, at, told)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil // cleaned up meanwhile
		case err != nil && at > 1 && ctx.Err() == nil:
			// One of them can't be done; the others can.
			LogOf(ctx, w.deps.Log).Warn("jobs of a bulk action are seen to one by one", "bulk_id", args.BulkID, "error", err)
			if n, err = w.oneByOne(ctx, args.BulkID, told); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// oneByOne sees to as many jobs as one transaction would have, each in its own.
func (w carryOut) oneByOne(ctx context.Context, id string, told *bulkTold) (n int, err error) {
	for range bulkAtOnce {
		did, err := w.next(ctx, id, 1, told)
		if store.IsRefusal(err) || errors.Is(err, store.ErrConflict) {
			did, err = 1, w.giveUp(ctx, id, err, told)
		}
		if err != nil || did == 0 {
			return n, err
		}
		n += did
	}
	return n, nil
}

// next sees to the next jobs, up to so many; 0: the bulk action is over.
func (w carryOut) next(ctx context.Context, id string, atMost int, told *bulkTold) (int, error) {
	var c *chunk
	err := w.turn(ctx, id, atMost, func(tx pgx.Tx, b *store.BulkAction, items []store.BulkItem) error {
		c = &chunk{bulk: *b, tx: tx, queues: queuesByName(), outcomes: make([]store.BulkOutcome, 0, len(items))}
		if err := c.act(ctx, items); err != nil {
			return err
		}
		return store.MoveBulkAction(ctx, tx, b, c.outcomes)
	})
	if err != nil || c == nil {
		return 0, err
	}
	for _, j := range c.changed {
		w.deps.Hints.JobChanged(j)
	}
	w.deps.Hints.OutboxChanged()
	told.did(c.outcomes...)
	return len(c.outcomes), nil
}

// giveUp notes that the next job can't be done.
func (w carryOut) giveUp(ctx context.Context, id string, cause error, told *bulkTold) error {
	var o store.BulkOutcome
	err := w.turn(ctx, id, 1, func(tx pgx.Tx, b *store.BulkAction, items []store.BulkItem) error {
		o = store.BulkOutcome{N: items[0].N, Outcome: store.BulkItemFailed, Reason: codeInternal, Detail: revealing(cause.Error(), 500)}
		return store.MoveBulkAction(ctx, tx, b, []store.BulkOutcome{o})
	})
	if err == nil && o.N > 0 {
		told.did(o)
	}
	return err
}

// bulkTold says how a bulk action comes on, in few lines however many jobs it is about.
type bulkTold struct {
	ctx    context.Context
	since  time.Time
	last   int            // number of the job that was seen to last
	counts map[string]int // of those that no line tells of yet, by outcome
}

// bulkTellEvery makes forty lines of the largest bulk action.
const bulkTellEvery = store.MostInBulk / 40

func (b *bulkTold) did(list ...store.BulkOutcome) {
	if b.counts == nil {
		b.counts = make(map[string]int)
	}
	for _, o := range list {
		b.counts[o.Outcome]++
		b.last = o.N
	}
	if b.untold() >= bulkTellEvery {
		b.rest()
	}
}

func (b *bulkTold) untold() int {
	return b.counts[store.BulkItemDone] + b.counts[store.BulkItemSkipped] + b.counts[store.BulkItemFailed]
}

// rest tells of what no line tells of yet.
func (b *bulkTold) rest() {
	if b.untold() == 0 {
		return
	}
	NotesOf(b.ctx).Info("jobs were seen to", "up_to", b.last, "done", b.counts[store.BulkItemDone], "skipped", b.counts[store.BulkItemSkipped],
		"failed", b.counts[store.BulkItemFailed], "ms", time.Since(b.since).Milliseconds())
	b.since, b.counts = time.Now(), nil
}

// turn does something with the next jobs in a transaction that holds the bulk action, and ends that where none are left
// or somebody wants it stopped.
func (w carryOut) turn(ctx context.Context, id string, atMost int, do func(pgx.Tx, *store.BulkAction, []store.BulkItem) error) error {
	err := w.deps.DB.Tx(ctx, func(tx pgx.Tx) error {
		b, err := store.LockBulkAction(ctx, tx, id)
		if err != nil || b.Over() {
			return err
		}
		if b.StopRequestedAt != nil && b.Position < b.Total {
			return store.EndBulkAction(ctx, tx, b, store.BulkStopped)
		}
		items, err := store.NextBulkItems(ctx, tx, b, atMost)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return store.EndBulkAction(ctx, tx, b, store.BulkDone)
		}
		return do(tx, &b, items)
	})
	if err != nil {
		return fmt.Errorf("carry out bulk action %s: %w", id, err)
	}
	return nil
}

func queuesByName() map[string]Queue {
	queues := make(map[string]Queue)
	for _, q := range Queues() {
		queues[q.Name] = q
	}
	return queues
}
