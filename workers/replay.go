package workers

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A Plan says what a replay would do.
type Plan struct {
	Since  time.Time
	Until  time.Time // when the plan was made
	Types  []string  // of events; none: all
	Events int       // that were looked at
	Jobs   map[string]int
}

// PlanReplay finds what routing the events since a time again would start, by kind, of some types of
// events or of all. The outbox keeps a week. A job.requested of a job that has ended, was overtaken by a
// later run, or is still in River's hands starts nothing: that work was done, or will be.
func PlanReplay(ctx context.Context, db *store.DB, table []jobs.Job, since time.Time, types []string) (Plan, error) {
	p := Plan{Since: since, Types: types, Jobs: make(map[string]int)}
	if err := db.Pool().QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&p.Until); err != nil {
		return p, err
	}
	err := outbox.Read(ctx, db.Pool(), p.span(), func(entries []outbox.Entry) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			inserts, err := againRouted(ctx, tx, table, entries)
			for _, i := range inserts {
				p.Jobs[i.Args.Kind()]++
			}
			p.Events += len(entries)
			return err
		})
	})
	return p, err
}

// Replay does what was planned, as far as it is still called for, and returns how many jobs it started.
// Doing it again starts none of those that a client asked for twice.
func Replay(ctx context.Context, db *store.DB, table []jobs.Job, p Plan) (started int, err error) {
	client, err := NewInserter(db.Pool(), table, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	err = outbox.Read(ctx, db.Pool(), p.span(), func(entries []outbox.Entry) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			inserts, err := againRouted(ctx, tx, table, entries)
			if err != nil {
				return err
			}
			started += len(inserts)
			return insertJobs(ctx, tx, client, inserts)
		})
	})
	return started, err
}

func (p Plan) span() outbox.Span { return outbox.Span{Since: p.Since, Until: p.Until, Types: p.Types} }

// againRouted leaves out what the router has yet to route: that is started anyway. The router can't move
// on until the transaction ends.
func againRouted(ctx context.Context, tx pgx.Tx, table []jobs.Job, entries []outbox.Entry) ([]river.InsertManyParams, error) {
	at, err := store.LockPosition(ctx, tx, routerName)
	if err != nil {
		return nil, err
	}
	epochs, err := store.Epochs(ctx, tx)
	if err != nil {
		return nil, err
	}
	if order, ok := epochs[at.Epoch]; !ok || order != len(epochs)-1 {
		return nil, errors.New("the router has not routed anything in the present epoch of the outbox; wait until it has")
	}
	routed := slices.DeleteFunc(slices.Clone(entries), func(e outbox.Entry) bool { return e.Position.After(at.Position()) })
	return again(ctx, tx, table, routed)
}

// again gives what events start that were routed before. An event that can't be read started nothing.
func again(ctx context.Context, tx pgx.Tx, table []jobs.Job, entries []outbox.Entry) ([]river.InsertManyParams, error) {
	var inserts, requested []river.InsertManyParams
	var runs []store.RunOfJob
	for _, entry := range entries {
		fact, err := events.Decode(entry.Event)
		if err != nil {
			continue
		}
		starts := jobs.Route(table, entry.Event, fact)
		againFor(entry.Event).mark(starts)
		if f, ok := fact.(events.JobRequested); ok {
			for _, s := range starts {
				requested = append(requested, s)
				runs = append(runs, store.RunOfJob{OrganizationID: entry.Event.OrganizationID, JobID: f.JobID, Run: f.Run})
			}
			continue
		}
		inserts = append(inserts, starts...)
	}
	needed, err := store.NeedWork(ctx, tx, runs)
	if err != nil {
		return nil, err
	}
	for i, need := range needed {
		if need {
			inserts = append(inserts, requested[i])
		}
	}
	return inserts, nil
}
