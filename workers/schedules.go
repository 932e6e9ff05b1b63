package workers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// schedules starts work by the wall clock, in UTC. Each schedule has a row with its next time, so that
// a tick happens once however many processes look, and a tick that was missed is made up for, once.
// River's own periodic jobs live in the leader's memory and begin anew with every deploy.
type schedules struct {
	db    *store.DB
	river *river.Client[pgx.Tx]
	table []jobs.Job
	// traced says that what the clock starts begins a trace.
	traced bool
	log    *slog.Logger
}

func (s *schedules) run(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	return every(ctx, time.Second, s.log, "schedules", s.tick)
}

// settle brings the rows in line with the table of jobs, until it has worked.
func (s *schedules) settle(ctx context.Context) error {
	for {
		err := s.store(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Warn("schedules are tried again", "error", err)
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (s *schedules) store(ctx context.Context) error {
	var rows []store.Schedule
	var off []string
	for _, j := range s.table {
		if j.Spec.Cron == "" {
			continue
		}
		if j.Spec.Cron == jobs.NoCron {
			off = append(off, j.Kind)
			continue
		}
		when, err := cron.ParseStandard(j.Spec.Cron)
		if err != nil {
			return fmt.Errorf("read the schedule of %s: %w", j.Kind, err)
		}
		rows = append(rows, store.Schedule{
			Name: j.Kind, Kind: j.Kind, Cron: j.Spec.Cron, NextRunAt: when.Next(time.Now().UTC()),
		})
	}
	return s.db.Tx(ctx, func(tx pgx.Tx) error {
		if err := store.DropSchedules(ctx, tx, off); err != nil {
			return err
		}
		return store.PutSchedules(ctx, tx, rows)
	})
}

// tick starts what is due.
func (s *schedules) tick(ctx context.Context) error {
	return s.db.Tx(ctx, func(tx pgx.Tx) error {
		due, now, err := store.DueSchedules(ctx, tx)
		if err != nil {
			return err
		}
		for _, d := range due {
			if err := s.start(ctx, tx, d, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *schedules) start(ctx context.Context, tx pgx.Tx, d store.Schedule, now time.Time) error {
	for _, j := range s.table {
		if j.Kind != d.Kind {
			continue
		}
		when, err := cron.ParseStandard(d.Cron)
		if err != nil {
			return fmt.Errorf("read the schedule %s: %w", d.Name, err)
		}
		inserts := []river.InsertManyParams{j.Due()}
		origin{Clock: s.traced}.mark(inserts)
		if !d.Asked() && (d.NextRunAt.After(now) || d.PausedAt != nil) {
			s.log.Warn("schedule is put right, as the clock was ahead", "schedule", d.Name, "was_due_at", d.NextRunAt)
			return store.AdvanceSchedule(ctx, tx, d.Name, now, when.Next(now.UTC()), nil)
		}
		started, err := s.river.InsertManyTx(ctx, tx, inserts)
		if err != nil {
			return fmt.Errorf("start %s: %w", d.Kind, err)
		}
		s.log.Info("schedule is due", "schedule", d.Name, "due_at", d.NextRunAt, "asked_for", d.Asked(), "late_ms", max(0, now.Sub(d.NextRunAt).Milliseconds()))
		return store.AdvanceSchedule(ctx, tx, d.Name, now, when.Next(now.UTC()), &started[0].Job.ID)
	}
	return nil // a newer version's schedule: its own processes start it
}
