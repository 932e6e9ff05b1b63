package workers

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// redriveMost bounds one call; what is left is taken by the next.
const redriveMost = 10000

// Redrive routes dead events after all: those with the given ids, or all that were not redriven yet
// when ids is nil. Each is read again, routed and marked in a transaction of its own. Those that are
// still at fault stay dead; failed says why.
func Redrive(ctx context.Context, db *store.DB, table []jobs.Job, ids []int64) (done int, failed map[int64]error, err error) {
	client, err := NewInserter(db.Pool(), table, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, nil, err
	}
	failed = make(map[int64]error)
	dead, err := deadEvents(ctx, db, ids, failed)
	if err != nil {
		return 0, failed, err
	}
	for _, d := range dead {
		err := db.Tx(ctx, func(tx pgx.Tx) error { return redrive(ctx, tx, client, table, d) })
		if ctx.Err() != nil {
			return done, failed, ctx.Err()
		}
		if err != nil {
			failed[d.ID] = err
			continue
		}
		done++
	}
	return done, failed, nil
}

func deadEvents(ctx context.Context, db *store.DB, ids []int64, failed map[int64]error) ([]store.DeadEvent, error) {
	if ids == nil {
		return db.DeadEvents(ctx, false, 0, redriveMost)
	}
	var all []store.DeadEvent
	for _, id := range ids {
		found, err := db.DeadEvents(ctx, true, id, 1)
		if err != nil {
			return nil, err
		}
		if id <= 0 || len(found) == 0 {
			failed[id] = fmt.Errorf("redrive dead event %d: %w", id, store.ErrNotFound)
			continue
		}
		all = append(all, found...)
	}
	return all, nil
}

func redrive(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], table []jobs.Job, d store.DeadEvent) error {
	if err := store.MarkRedriven(ctx, tx, d.ID); err != nil {
		return err
	}
	e, err := events.ParseHeaders(func(name string) string {
		if v := d.Headers[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}, d.Body)
	if err != nil {
		return fmt.Errorf("redrive dead event %d: %w", d.ID, err)
	}
	var out routing
	if err := translate(table, e, &out, againFor(e)); err != nil {
		return fmt.Errorf("redrive dead event %d: %w", d.ID, err)
	}
	news, err := announce(ctx, tx, table, out.told)
	if err == nil {
		err = out.start(ctx, tx, client, news)
	}
	if err != nil {
		return fmt.Errorf("redrive dead event %d: %w", d.ID, err)
	}
	return nil
}

// announce looks for those who listen, in a round trip of its own.
func announce(ctx context.Context, tx pgx.Tx, table []jobs.Job, list []jobs.Happening) (*jobs.News, error) {
	b := &pgx.Batch{}
	news := jobs.Announce(b, table, list)
	if b.Len() == 0 {
		return news, nil
	}
	return news, tx.SendBatch(ctx, b).Close()
}
