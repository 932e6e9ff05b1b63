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
	Since time.Time
	Until time.Time // when the plan was made, or earlier
	Types []string  // of events; none: all
	// OrganizationID narrows it to one; "": of all.
	OrganizationID string
	Events         int // that were looked at
	Jobs           map[string]int
}

// PlanReplay finds what routing the events since a time again would start, by kind, of some types of
// events or of all. The outbox keeps a week. A job.requested of a job that has ended, was overtaken by a
// later run, or is still in River's hands starts nothing: that work was done, or will be.
func PlanReplay(ctx context.Context, db *store.DB, table []jobs.Job, since time.Time, types []string) (Plan, error) {
	return PlanReplayOf(ctx, db, table, outbox.Span{Since: since, Types: types})
}

// PlanReplayOf is PlanReplay for a part of the outbox. It ends at the present at the latest, and there where Until is zero.
func PlanReplayOf(ctx context.Context, db *store.DB, table []jobs.Job, of outbox.Span) (Plan, error) {
	p := Plan{Since: of.Since, Types: of.Types, OrganizationID: of.OrganizationID, Jobs: make(map[string]int)}
	var until *time.Time
	if !of.Until.IsZero() {
		until = &of.Until
	}
	if err := db.Pool().QueryRow(ctx, `SELECT least(clock_timestamp(), $1::timestamptz)`, until).Scan(&p.Until); err != nil {
		return p, err
	}
	err := outbox.Read(ctx, db.Pool(), p.span(), func(entries []outbox.Entry) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			p.Events += len(entries)
			inserts, news, err := againRouted(ctx, tx, table, entries)
			if err != nil {
				return err
			}
			for _, i := range inserts {
				p.Jobs[i.Args.Kind()]++
			}
			deliveries, err := news.Count(ctx, tx)
			if deliveries > 0 {
				p.Jobs[jobs.DeliverWebhook] += deliveries
			}
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
			inserts, news, err := againRouted(ctx, tx, table, entries)
			if err != nil {
				return err
			}
			told, err := news.Tell(ctx, tx, store.TellAgain)
			if err != nil {
				return err
			}
			started += len(inserts) + told.Deliveries
			return insertJobs(ctx, tx, client, append(inserts, told.Inserts...))
		})
	})
	return started, err
}

func (p Plan) span() outbox.Span {
	return outbox.Span{Since: p.Since, Until: p.Until, Types: p.Types, OrganizationID: p.OrganizationID}
}

// againRouted leaves out what the router has yet to route: that is started anyway. The router can't move
// on until the transaction ends.
func againRouted(ctx context.Context, tx pgx.Tx, table []jobs.Job, entries []outbox.Entry) ([]river.InsertManyParams, *jobs.News, error) {
	at, err := store.LockPosition(ctx, tx, routerName)
	if err != nil {
		return nil, nil, err
	}
	epochs, err := store.Epochs(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if order, ok := epochs[at.Epoch]; !ok || order != len(epochs)-1 {
		return nil, nil, errors.New("the router has not routed anything in the present epoch of the outbox; wait until it has")
	}
	routed := slices.DeleteFunc(slices.Clone(entries), func(e outbox.Entry) bool { return e.Position.After(at.Position()) })
	return again(ctx, tx, table, routed)
}

// again gives what events start that were routed before, and who listens to them. An event that can't be read started nothing.
func again(ctx context.Context, tx pgx.Tx, table []jobs.Job, entries []outbox.Entry) ([]river.InsertManyParams, *jobs.News, error) {
	var inserts, requested []river.InsertManyParams
	var told []jobs.Happening
	var runs []store.RunOfJob
	for _, entry := range entries {
		fact, err := events.Decode(entry.Event)
		if err != nil {
			continue
		}
		told = append(told, jobs.Happening{Envelope: entry.Event, Fact: fact})
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
		return nil, nil, err
	}
	for i, need := range needed {
		if need {
			inserts = append(inserts, requested[i])
		}
	}
	news, err := announce(ctx, tx, table, told)
	return inserts, news, err
}
