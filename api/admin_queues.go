package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type queueListOutput struct{ Body operator.QueueList }

// listQueues shows how all queues do.
func (s *Server) listQueues(ctx context.Context, _ *noInput) (*queueListOutput, error) {
	now := time.Now().UTC()
	out := operator.QueueList{Data: []operator.Queue{}, GeneratedAt: now}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		standings, err := store.QueueStandings(ctx, tx, s.queueNames())
		if err != nil {
			return err
		}
		rows, err := store.QueueMinutes(ctx, tx, store.Minutes, "", now.Add(-2*time.Hour), now)
		if err != nil {
			return err
		}
		for _, q := range standings {
			out.Data = append(out.Data, s.queueView(q, rows, now))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &queueListOutput{out}, nil
}

// queueView shows a queue, and what the rows of the last two hours tell of it.
func (s *Server) queueView(q store.QueueStanding, rows []store.QueueMinute, now time.Time) operator.Queue {
	v := operator.Queue{Name: q.Queue, Available: q.Available, Running: q.Running, Retryable: q.Retryable, Scheduled: q.Scheduled,
		CountedAt: q.SampledAt.UTC(), AtLeast: q.AtLeast, OldestMS: q.OldestMS, Workers: q.Workers, Places: q.Places,
		PausedAt: q.PausedAt, PausedBy: q.PausedBy, Kinds: s.kindsIn(q.Queue)}
	mine := slices.Collect(func(yield func(store.QueueMinute) bool) {
		for _, r := range rows {
			if r.Queue == q.Queue && !yield(r) {
				return
			}
		}
	})
	for _, p := range stretchOf("1h").queuePoints(now, mine) {
		tick := operator.QueueTick{At: p.At, Available: p.Available}
		if p.Work != nil {
			n := p.Work.Ended()
			tick.Ended = &n
		}
		v.Trend = append(v.Trend, tick)
	}
	// What ended is known some seconds after a minute is over: the last hour are the last minutes of which it is.
	known := slices.DeleteFunc(mine, func(r store.QueueMinute) bool { return r.Outcomes == nil })
	if len(known) == 0 || now.Sub(known[len(known)-1].At) > time.Hour {
		return v
	}
	last := known[len(known)-1]
	var minute, hour work
	if now.Sub(last.At) < 5*time.Minute {
		minute.add(last.Outcomes, last.Waits, last.Runs)
	}
	for _, r := range known {
		if last.At.Sub(r.At) < time.Hour {
			hour.add(r.Outcomes, r.Waits, r.Runs)
		}
	}
	v.LastMinute, v.LastHour = minute.view(1), hour.view(1)
	return v
}

// kindsIn are the kinds whose jobs go into a queue.
func (s *Server) kindsIn(queue string) []string {
	kinds := []string{}
	for _, k := range s.Work {
		if k.Queue == queue {
			kinds = append(kinds, k.Name)
		}
	}
	slices.Sort(kinds)
	return kinds
}

type queueInput struct {
	Name  string `path:"name" maxLength:"127"`
	Range string `query:"range" enum:"1h,6h,24h,7d,30d,90d" default:"1h"`
}

type queueOutput struct{ Body operator.QueueDetail }

// getQueue shows one queue over a range.
func (s *Server) getQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	now, over := time.Now().UTC(), stretchOf(in.Range)
	v := operator.QueueDetail{Range: over.name, StepSeconds: int64(over.step / time.Second), WorkedBy: []operator.Process{}, GeneratedAt: now}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		standings, err := store.QueueStandings(ctx, tx, s.queueNames())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(standings, func(q store.QueueStanding) bool { return q.Queue == in.Name })
		if i < 0 {
			return refuse("not_found", "there is no queue of that name")
		}
		lately, err := store.QueueMinutes(ctx, tx, store.Minutes, in.Name, now.Add(-2*time.Hour), now)
		if err != nil {
			return err
		}
		v.Queue = s.queueView(standings[i], lately, now)
		rows, err := store.QueueMinutes(ctx, tx, over.span, in.Name, over.steps(now)[0], now)
		if err != nil {
			return err
		}
		v.Points = over.queuePoints(now, rows)
		workers, err := store.LivingWorkers(ctx, tx)
		if err != nil {
			return err
		}
		running, err := store.RunningJobs(ctx, tx)
		for _, w := range workers {
			if w.Places()[in.Name] > 0 {
				v.WorkedBy = append(v.WorkedBy, s.workerView(w, running, now))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &queueOutput{v}, nil
}

type pauseInput struct {
	Name string `path:"name" maxLength:"127"`
}

type pauseOutput struct{ Body operator.Pause }

func (s *Server) pauseQueue(ctx context.Context, in *pauseInput) (*pauseOutput, error) {
	return s.setQueues(ctx, "queue.pause", in.Name)
}

func (s *Server) resumeQueue(ctx context.Context, in *pauseInput) (*pauseOutput, error) {
	return s.setQueues(ctx, "queue.resume", in.Name)
}

// everyQueue is River's name for all of them.
const everyQueue = "*"

func (s *Server) pauseQueues(ctx context.Context, _ *noInput) (*pauseOutput, error) {
	return s.setQueues(ctx, "queue.pause", everyQueue)
}

func (s *Server) resumeQueues(ctx context.Context, _ *noInput) (*pauseOutput, error) {
	return s.setQueues(ctx, "queue.resume", everyQueue)
}

// setQueues pauses or resumes a queue, or all. One that is so already stays so, since when it was.
func (s *Server) setQueues(ctx context.Context, action, name string) (*pauseOutput, error) {
	out := operator.Pause{Queues: []string{}}
	pausing := action == "queue.pause"
	err := s.act(ctx, act{Action: action, Target: "queue", ID: name}, func(tx pgx.Tx, note *act) error {
		before, err := store.LockQueues(ctx, tx, name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("not_found", "there is no queue of that name that a worker has worked lately, so there is nothing to pause or resume")
		}
		if err != nil {
			return err
		}
		for queue, at := range before {
			if (at != nil) != pausing {
				out.Queues = append(out.Queues, queue)
			}
		}
		slices.Sort(out.Queues)
		for _, queue := range out.Queues {
			if pausing {
				err = s.river.QueuePauseTx(ctx, tx, queue, nil)
			} else {
				err = s.river.QueueResumeTx(ctx, tx, queue, nil)
			}
			if err != nil {
				return err
			}
		}
		after, err := store.LockQueues(ctx, tx, name)
		if err != nil {
			return err
		}
		note.Before, note.After = pausesOf(before), pausesOf(after)
		for _, at := range after {
			if pausing && (out.PausedAt == nil || at != nil && at.After(*out.PausedAt)) {
				out.PausedAt = at
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &pauseOutput{out}, nil
}

// pausesOf is what the audit log says of queues.
func pausesOf(queues map[string]*time.Time) map[string]any {
	paused := make(map[string]any, len(queues))
	for name, at := range queues {
		paused[name] = map[string]any{"paused_at": at}
	}
	return paused
}
