package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

const (
	// Beyond that nobody counts: it would take longer than a page may.
	mostCounted = 100_000
	// All who look at pages share a count for so long, and for so many times as long as it took: among millions of jobs
	// to count must not be what keeps the database busy.
	countFresh = 2 * time.Second
	countRest  = 40
	// quickCount is made while a page waits; one that takes longer is made beside, and pages show the last with its age.
	quickCount = 25 * time.Millisecond
	oldCount   = 5 * time.Minute // and then a page waits for a new one
)

// countCache keeps the last count of jobs. One counts at a time.
type countCache struct {
	mu       sync.Mutex
	last     operator.JobCounts
	took     time.Duration
	counting bool
	beside   sync.WaitGroup // who count, for Close
}

func (c *countCache) fresh(now time.Time) bool {
	return now.Sub(c.last.AsOf) < max(countFresh, countRest*c.took)
}

type jobCountsOutput struct{ Body operator.JobCounts }

// adminCountJobs tells how many jobs there are, by state, and the unfinished ones by kind.
func (s *Server) adminCountJobs(ctx context.Context, _ *struct{}) (*jobCountsOutput, error) {
	c := &s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case c.fresh(now):
	case c.took > quickCount && now.Sub(c.last.AsOf) < oldCount:
		s.countBeside(ctx)
	default:
		if err := s.count(ctx, lookTime); err != nil {
			return nil, err
		}
	}
	return &jobCountsOutput{c.last}, nil
}

// countBeside counts while the page is answered. The cache's lock is held, here and when it is done.
func (s *Server) countBeside(ctx context.Context) {
	c := &s.counts
	if c.counting {
		return
	}
	c.counting = true
	c.beside.Go(func() {
		counted, took, err := s.countStates(context.WithoutCancel(ctx), actTime)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.counting = false
		if err != nil {
			s.tellSparsely("jobs could not be counted for a page", err)
			return
		}
		c.last, c.took = counted, took
	})
}

// count counts while somebody waits, with the cache's lock.
func (s *Server) count(ctx context.Context, atMost time.Duration) error {
	counted, took, err := s.countStates(ctx, atMost)
	if err == nil {
		s.counts.last, s.counts.took = counted, took
	}
	return err
}

func (s *Server) countStates(ctx context.Context, atMost time.Duration) (operator.JobCounts, time.Duration, error) {
	began := time.Now()
	var c store.StateCounts
	err := s.DB.AsOperator(ctx, atMost, func(tx pgx.Tx) (err error) {
		c, err = store.CountStates(ctx, tx, mostCounted)
		return err
	})
	return countsOf(c, time.Now()), time.Since(began), err
}

func countsOf(c store.StateCounts, now time.Time) operator.JobCounts {
	view := operator.JobCounts{AsOf: now.UTC(), Kinds: []operator.JobKindCount{}}
	by := map[string]int64{}
	for _, n := range c.Unfinished {
		by[n.Status] += n.Count
		view.Kinds = append(view.Kinds, operator.JobKindCount{Kind: n.Kind, Queue: n.Queue, Status: n.Status, Count: n.Count})
	}
	slices.SortFunc(view.Kinds, func(a, b operator.JobKindCount) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Status, b.Status))
	})
	for _, status := range []string{store.Queued, store.Waiting, store.Scheduled, store.Running} {
		view.Statuses = append(view.Statuses, operator.JobCount{Status: status, Count: by[status], Exact: !c.UnfinishedMore, More: c.UnfinishedMore})
	}
	view.Statuses = append(view.Statuses,
		operator.JobCount{Status: store.Failed, Count: c.Failed, Exact: !c.FailedMore, More: c.FailedMore},
		operator.JobCount{Status: store.Cancelled, Count: c.Cancelled, Exact: !c.CancelledMore, More: c.CancelledMore},
		operator.JobCount{Status: store.Succeeded, Count: c.Succeeded, SampledAt: utc(c.SampledAt)})
	return view
}
