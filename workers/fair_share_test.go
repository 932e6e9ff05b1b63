package workers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

const other = "0197aaaa-0000-7000-8000-000000000002"

// One organization asks for two hundred jobs at once, another for ten after it, and there is one worker
// that takes a while for each.
func TestFairShare(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	const many, few = 200, 10
	var mu sync.Mutex
	var order []string
	busy := true // the small one goes on asking
	var small func()
	done := func(organization string) int {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, o := range order {
			if o == organization {
				n++
			}
		}
		return n
	}
	work := func(ctx context.Context, task *jobs.Task) (jobs.Result, error) {
		select {
		case <-time.After(40 * time.Millisecond): // the work
		case <-ctx.Done():
			return jobs.Result{}, ctx.Err()
		}
		mu.Lock()
		order = append(order, task.OrganizationID)
		again := busy && task.OrganizationID == other
		mu.Unlock()
		if again {
			small()
		}
		return jobs.Result{}, nil
	}
	small = func() { s.submit(work, func(j *store.Job) { j.OrganizationID = other }) }
	for i := range many {
		s.submit(work, func(j *store.Job) { j.Overflow = i >= jobs.AI.Share })
	}
	for range few {
		small()
	}
	stopRouter := s.router(nil)
	eventually(t, "all is routed", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM river_job`); n < many+few {
			return errors.New("not yet")
		}
		return nil
	})
	stopRouter()
	s.worker(func(c *Config) { c.Queues = map[string]int{"ai": 1} })

	eventually(t, "the small one is served", func() error {
		if done(other) < few {
			return errors.New("not yet")
		}
		return nil
	})
	if before := done(organization); before > 4*jobs.AI.Share {
		t.Errorf("%d jobs of the big one went before the small one's %d", before, few)
	}
	was := done(organization)
	eventually(t, "the big one gets on while the small one goes on asking", func() error {
		if done(organization) < was+2*jobs.AI.Share {
			return errors.New("not yet")
		}
		return nil
	})
	mu.Lock()
	busy = false
	mu.Unlock()
}

// Of an organization's own jobs beyond its share, those in a hurry go first, also where nobody competes.
func TestHurryBeyondTheShare(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	const many = 80
	var mu sync.Mutex
	worked, hurried := 0, 0
	work := func(ctx context.Context, task *jobs.Task) (jobs.Result, error) {
		select {
		case <-time.After(40 * time.Millisecond): // the work
		case <-ctx.Done():
			return jobs.Result{}, ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		if worked++; task.Priority == 1 {
			hurried = worked
		}
		return jobs.Result{}, nil
	}
	for i := range many {
		s.submit(work, func(j *store.Job) { j.Priority, j.Overflow = 3, i >= jobs.AI.Share })
	}
	s.submit(work, func(j *store.Job) { j.Priority, j.Overflow = 1, true })
	s.worker(func(c *Config) { c.Queues = map[string]int{"ai": 1} })
	eventually(t, "all are done", func() error {
		mu.Lock()
		defer mu.Unlock()
		if worked < many+1 {
			return errors.New("not yet")
		}
		return nil
	})
	if hurried > many/2 {
		t.Errorf("the one in a hurry was number %d of %d", hurried, many+1)
	}
}
