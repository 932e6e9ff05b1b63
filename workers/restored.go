package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// Revived is what a restored copy is brought back to life with.
type Revived struct {
	Events    int // that were not routed yet, and are published anew
	GivenBack int // jobs that were under way when the copy was taken, and begin again
	Ended     int // jobs whose last attempt was under way: whether it did what it should, nobody knows
	Waiting   int // jobs that wait in River's queues
	Mails     int // of those, of the queue of mails: they may have gone out after the copy was taken
	Schedules int // whose missed ticks are left out
}

// Revive prepares a copy of the database that was just restored, and that nobody uses yet, for relays, routers and
// workers. All in one transaction: the processes of then are gone, and what they had in hands is given back as if
// they had died; the outbox begins a new life; ticks between the copy and now, which may have been kept in a future
// that is lost, are not kept again; and whoever has a cache is to forget it.
func Revive(ctx context.Context, db *store.DB, table []jobs.Job, log *slog.Logger) (r Revived, err error) {
	client, err := NewInserter(db.Pool(), table, slog.New(slog.DiscardHandler))
	if err != nil {
		return r, err
	}
	err = db.Tx(ctx, func(tx pgx.Tx) error {
		if r.Events, err = outbox.BeginRestored(ctx, tx, "the database was restored from a backup"); err != nil {
			return err
		}
		if err := r.giveBack(ctx, tx, log); err != nil {
			return err
		}
		if r.Schedules, err = skipTicks(ctx, tx); err != nil {
			return err
		}
		if r.Waiting, r.Mails, err = store.CountRiverJobs(ctx, tx, jobs.Mail.Name); err != nil {
			return err
		}
		return forgetCaches(ctx, tx, client, table)
	})
	if err != nil {
		return r, fmt.Errorf("bring the restored database to life: %w", err)
	}
	return r, nil
}

// giveBack takes all worker processes for dead.
func (r *Revived) giveBack(ctx context.Context, tx pgx.Tx, log *slog.Logger) error {
	dead, err := store.RemoveAllWorkers(ctx, tx)
	if err != nil {
		return err
	}
	orphans, err := store.GiveBackOrphans(ctx, tx, math.MaxInt32, 0, []string{})
	if err != nil {
		return err
	}
	for _, o := range orphans {
		if o.Discarded {
			r.Ended++
		} else {
			r.GivenBack++
		}
	}
	l := &life{log: log}
	if err := l.settle(ctx, tx, dead, orphans); err != nil {
		return err
	}
	l.tell(ofTheDead, orphans)
	l.mourn(dead)
	return nil
}

// skipTicks has each schedule go on with its next tick from now.
func skipTicks(ctx context.Context, tx pgx.Tx) (int, error) {
	due, now, err := store.DueSchedules(ctx, tx)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		when, err := cron.ParseStandard(d.Cron)
		if err != nil {
			return 0, fmt.Errorf("read the schedule %s: %w", d.Name, err)
		}
		if err := store.PostponeSchedule(ctx, tx, d.Name, when.Next(now.UTC())); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

var errNoForgetting = errors.New("the table of jobs has none that forgets the cache")

func forgetCaches(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], table []jobs.Job) error {
	at := slices.IndexFunc(table, func(j jobs.Job) bool { return j.Kind == jobs.ForgetCache })
	if at < 0 {
		return errNoForgetting
	}
	if _, err := client.InsertManyTx(ctx, tx, []river.InsertManyParams{table[at].Due()}); err != nil {
		return fmt.Errorf("have the cache forgotten: %w", err)
	}
	return nil
}
