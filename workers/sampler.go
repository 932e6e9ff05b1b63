package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// What is measured, as rows of samplers name it.
const (
	sampleOfQueues = "queues"
	sampleOfWork   = "work"
	sampleOfCounts = "job_counts"
)

const (
	queuesEvery = 10 * time.Second
	workEvery   = 30 * time.Second
	countsEvery = time.Minute
	// A statement that takes longer tells less than it costs.
	queuesAtMost, countsAtMost = 2 * time.Second, 30 * time.Second
	// Measuring may take a fiftieth of the time.
	restAfter = 50
)

// A sampler writes down how queues do, for charts. One process at a time measures: it claims the row of what it
// measures. What nobody measured, as all processes or Redis were away, stays unknown.
type sampler struct {
	db     *store.DB // commits may return early: a sample that is lost is a gap
	id     string
	queues []string
	// past gives the minutes that are over; nil: nobody counts.
	past func(context.Context, int) ([]minutes.Minute, error)
	log  *slog.Logger
}

func (s *sampler) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range []struct {
		name       string
		often, due time.Duration // how often to look whether it is due, and how long after it began it is again
		measure    func(context.Context) error
	}{
		{sampleOfQueues, queuesEvery / 5, queuesEvery, s.sampleQueues},
		{sampleOfWork, workEvery / 5, workEvery, s.sampleWork},
		{sampleOfCounts, countsEvery / 5, countsEvery, s.countJobs},
	} {
		group.Go(func() error {
			return every(ctx, one.often, s.log, "sample of "+one.name, func(ctx context.Context) error {
				return s.sample(ctx, one.name, one.due, one.measure)
			})
		})
	}
	return group.Wait()
}

// sample measures if nobody else does and it is time.
func (s *sampler) sample(ctx context.Context, name string, due time.Duration, measure func(context.Context) error) error {
	mine, err := store.ClaimSample(ctx, s.db.Pool(), name, s.id, due)
	if err != nil || !mine {
		return err
	}
	began := time.Now()
	failed := measure(ctx)
	took := time.Since(began)
	again := max(due, restAfter*took)
	if err := store.SettleSample(ctx, s.db.Pool(), name, s.id, took, again); err != nil && failed == nil {
		return err
	}
	return failed
}

func (s *sampler) sampleQueues(ctx context.Context) error {
	_, err := s.db.SampleQueues(ctx, s.queues, queuesAtMost)
	return err
}

// A minute that was noted is looked at again: a process may have been away from Redis, and left it later.
const lookAgainAt = 4

// sampleWork notes what processes counted in the minutes that are over.
func (s *sampler) sampleWork(ctx context.Context) error {
	if s.past == nil {
		return nil
	}
	last, err := s.db.LastWork(ctx)
	if err != nil {
		return err
	}
	list, err := s.past(ctx, int(time.Since(last)/time.Minute)+lookAgainAt)
	if err != nil {
		return nil // redis is away, which those who count tell of: there is nothing to note
	}
	list = slices.DeleteFunc(list, func(m minutes.Minute) bool { return !m.Worked })
	if len(list) == 0 {
		return nil
	}
	queues, kinds, err := s.workIn(list)
	if err != nil {
		return err
	}
	if err := s.db.PutWork(ctx, queues, kinds); err != nil {
		return err
	}
	if err := s.rollUp(ctx, list[0].At, list[len(list)-1].At); err != nil {
		return err
	}
	return s.db.DropOldMinutes(ctx)
}

// workIn gives the rows of minutes. A queue of which nothing was counted had nothing that ended.
func (s *sampler) workIn(list []minutes.Minute) (queues []store.QueueWork, kinds []store.KindWork, err error) {
	for _, m := range list {
		names := slices.Compact(slices.Sorted(slices.Values(append(m.QueueNames(), s.queues...))))
		for _, name := range names {
			row := store.QueueWork{At: m.At, Queue: name, Outcomes: map[string]int64{}}
			if q, ok := m.Queues[name]; ok {
				row.Outcomes = q.Outcomes
				if row.Waits, row.Runs, err = encodeTimes(q); err != nil {
					return nil, nil, err
				}
			}
			queues = append(queues, row)
		}
		for _, name := range slices.Sorted(maps.Keys(m.Kinds)) {
			k := m.Kinds[name]
			runs, err := json.Marshal(k.Times)
			if err != nil {
				return nil, nil, fmt.Errorf("write the times of %s: %w", name, err)
			}
			kinds = append(kinds, store.KindWork{At: m.At, Kind: name, Queue: k.Queue, Outcomes: k.Outcomes, Runs: runs})
		}
	}
	return queues, kinds, nil
}

func encodeTimes(q minutes.Queue) (waits, runs json.RawMessage, err error) {
	if waits, err = json.Marshal(q.Waits); err == nil {
		runs, err = json.Marshal(q.Times)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("write the times of a queue: %w", err)
	}
	return waits, runs, nil
}

// countJobs counts what ended. A count that took too long leaves the last one, which is doubted from then on.
func (s *sampler) countJobs(ctx context.Context) error {
	at := time.Now().UTC().Truncate(time.Microsecond)
	list, err := s.db.CountJobs(ctx, countsAtMost)
	if store.IsCancelled(err) && ctx.Err() == nil {
		s.log.Warn("jobs that ended were not counted in time", "ms", countsAtMost.Milliseconds())
		return s.db.DoubtJobCounts(ctx)
	}
	if err != nil {
		return err
	}
	return s.db.PutJobCounts(ctx, at, list)
}
