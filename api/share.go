package api

import (
	"context"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	// How often the database is asked again while an organization is at its share of a queue.
	shareRecount = 50 * time.Millisecond
	shareEntries = 10_000
)

// shares estimates how many unfinished jobs each organization has in each queue with their fair place.
// The estimate counts up with every job that is let in here and is put right by the database when it
// has reached the share, so that the common submit asks nothing.
type shares struct {
	mu sync.Mutex
	of map[shareKey]*share
}

type shareKey struct{ organizationID, queue string }

type share struct {
	jobs    int
	counted time.Time // zero: never
	asking  bool
}

// takeShares marks the jobs beyond the fair share as overflow, and returns what it took for the others.
func (s *Server) takeShares(ctx context.Context, js []store.Job) map[shareKey]int {
	taken := make(map[shareKey]int, 1)
	for i := range js {
		k := shareKey{js[i].OrganizationID, js[i].Queue}
		if js[i].RunAt.After(js[i].CreatedAt) {
			// It needs no place before its time, and is given one then.
			js[i].Overflow = true
			continue
		}
		if s.takeShare(ctx, k, s.kinds[js[i].Kind].Share) {
			taken[k]++
			continue
		}
		js[i].Overflow = true
	}
	return taken
}

// takeShare takes one place if there is one; a limit of 0 is none.
func (s *Server) takeShare(ctx context.Context, k shareKey, limit int) bool {
	if limit <= 0 || s.shares.take(k, limit) {
		return true
	}
	before, ask := s.shares.ask(k)
	if !ask {
		return false
	}
	n, err := s.DB.CountAdmitted(ctx, k.organizationID, k.queue, limit)
	if err != nil {
		// The insert will meet the same trouble and report it.
		s.shares.told(k, before, -1)
		return false
	}
	s.shares.told(k, before, n)
	return s.shares.take(k, limit)
}

func (s *shares) get(k shareKey) *share {
	e := s.of[k]
	if e == nil {
		if s.of == nil || len(s.of) >= shareEntries {
			s.of = make(map[shareKey]*share)
		}
		e = &share{}
		s.of[k] = e
	}
	return e
}

func (s *shares) take(k shareKey, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(k)
	if e.counted.IsZero() && !e.asking || e.jobs >= limit {
		return false
	}
	e.jobs++
	return true
}

// ask reports whether it is this caller's turn to ask the database, and what was let in before.
func (s *shares) ask(k shareKey) (before int, ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(k)
	if e.asking || time.Since(e.counted) < shareRecount {
		return 0, false
	}
	e.asking = true
	return e.jobs, true
}

// told puts the estimate right: what was counted, and what was let in since; -1: nothing was learnt.
func (s *shares) told(k shareKey, before, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(k)
	e.asking = false
	if n < 0 {
		return
	}
	e.jobs = n + max(e.jobs-before, 0)
	e.counted = time.Now()
}

// giveBack undoes takes whose jobs were not stored after all.
func (s *shares) giveBack(taken map[shareKey]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, n := range taken {
		e := s.get(k)
		e.jobs = max(e.jobs-n, 0)
	}
}
