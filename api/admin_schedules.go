package api

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/robfig/cron/v3"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type scheduleListOutput struct{ Body operator.ScheduleList }

// listSchedules shows what the clock starts.
func (s *Server) listSchedules(ctx context.Context, _ *noInput) (*scheduleListOutput, error) {
	now := time.Now().UTC()
	out := operator.ScheduleList{Data: []operator.Schedule{}, GeneratedAt: now}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		list, err := store.ScheduleStandings(ctx, tx)
		if err != nil {
			return err
		}
		workers, err := store.LivingWorkers(ctx, tx)
		for _, one := range list {
			out.Data = append(out.Data, s.scheduleView(one, workers, now))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &scheduleListOutput{out}, nil
}

// The clock is looked at every second; what is due for less is not late.
const lateAfter = 5 * time.Second

func (s *Server) scheduleView(one store.ScheduleStanding, workers []store.WorkerProcess, now time.Time) operator.Schedule {
	v := operator.Schedule{Name: one.Name, Kind: one.Kind, Cron: one.Cron, Words: cronWords(one.Cron), LastRunAt: one.LastRunAt,
		PausedAt: one.PausedAt, PausedBy: one.PausedBy}
	if one.PausedAt == nil {
		next := one.NextRunAt.UTC()
		v.NextRunAt = &next
		if late := now.Sub(next); late > lateAfter {
			ms := late.Milliseconds()
			v.LateMS = &ms
		}
	}
	if one.Asked() {
		v.AskedAt = one.AskedAt
	}
	if one.State != nil {
		v.LastRun = &operator.ScheduleRun{RiverJobID: *one.LastJobID, State: scheduledState(*one.State, one.Attempted != nil),
			Attempt: *one.Attempt, FinishedAt: one.FinishedAt}
	}
	if k := s.workKind(one.Kind); k != nil {
		v.Queue = &k.Queue
		for _, w := range workers {
			if w.Places()[k.Queue] > 0 {
				v.Workers++
			}
		}
	}
	return v
}

// scheduledState is a state of River's by the names of the admin.
func scheduledState(state string, attempted bool) string {
	switch state {
	case "available", "pending":
		return "queued"
	case "retryable":
		return "waiting"
	case "scheduled":
		if attempted {
			return "waiting"
		}
		return "scheduled"
	case "completed":
		return "succeeded"
	case "discarded":
		return "failed"
	}
	return state // running, cancelled
}

type scheduleInput struct {
	Name string `path:"name" maxLength:"127"`
}

type scheduleOutput struct{ Body operator.Schedule }

// scheduleNote is what the audit log says of a schedule.
type scheduleNote struct {
	NextRunAt time.Time  `json:"next_run_at"`
	PausedAt  *time.Time `json:"paused_at"`
	AskedAt   *time.Time `json:"asked_at"`
}

func noteOf(s store.Schedule) scheduleNote {
	return scheduleNote{s.NextRunAt.UTC(), s.PausedAt, s.AskedAt}
}

// changeSchedule does something to a schedule and answers with what it is then.
func (s *Server) changeSchedule(ctx context.Context, action, name string, do func(pgx.Tx, store.Schedule) error) (*scheduleOutput, error) {
	var out scheduleOutput
	err := s.act(ctx, act{Action: action, Target: "schedule", ID: name}, func(tx pgx.Tx, note *act) error {
		before, err := store.LockSchedule(ctx, tx, name)
		if err != nil {
			return err
		}
		note.Before = noteOf(before)
		if err := do(tx, before); err != nil {
			return err
		}
		list, err := store.ScheduleStandings(ctx, tx)
		if err != nil {
			return err
		}
		workers, err := store.LivingWorkers(ctx, tx)
		if i := slices.IndexFunc(list, func(one store.ScheduleStanding) bool { return one.Name == name }); i >= 0 {
			note.After = noteOf(list[i].Schedule)
			out.Body = s.scheduleView(list[i], workers, time.Now().UTC())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// runSchedule has a schedule start its work now, beside its times.
func (s *Server) runSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	return s.changeSchedule(ctx, "schedule.run", in.Name, func(tx pgx.Tx, before store.Schedule) error {
		workers, err := store.LivingWorkers(ctx, tx)
		if err != nil {
			return err
		}
		if len(workers) == 0 {
			return refuse("no_worker", "no worker lives, and workers start what is scheduled: start payaid worker, then ask again")
		}
		if !s.known(workers, before.Kind) {
			return refuse("no_worker", "no living worker knows the kind "+before.Kind+", so nothing would start it")
		}
		_, err = store.AskSchedule(ctx, tx, in.Name)
		return err
	})
}

// pauseSchedule keeps the clock from starting a schedule. One that is paused stays so, since when it was.
func (s *Server) pauseSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	return s.changeSchedule(ctx, "schedule.pause", in.Name, func(tx pgx.Tx, before store.Schedule) error {
		if before.PausedAt != nil {
			return nil
		}
		_, err := store.PauseSchedule(ctx, tx, in.Name)
		return err
	})
}

// resumeSchedule lets the clock start it again, from its next time on.
func (s *Server) resumeSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	return s.changeSchedule(ctx, "schedule.resume", in.Name, func(tx pgx.Tx, before store.Schedule) error {
		if before.PausedAt == nil {
			return nil
		}
		when, err := cron.ParseStandard(before.Cron)
		if err != nil {
			return refuse("invalid_transition", "the times of the schedule can't be read, so nobody can say when it runs next: "+before.Cron)
		}
		return store.ResumeSchedule(ctx, tx, in.Name, when.Next(time.Now().UTC()))
	})
}
