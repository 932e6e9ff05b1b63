package telemetry

import (
	"sync"
	"time"
)

// SparseEvery is how often the same is told.
const SparseEvery = 10 * time.Second

// sparseMost bounds what is remembered. More different lines than that are no flood of one.
const sparseMost = 1000

// Sparse says which of many like log lines are written: the first at once, then one in SparseEvery, with how
// many were left out since. What is the same is the caller's to say, by a key. The zero value is ready for use.
type Sparse struct {
	mu   sync.Mutex
	told map[string]told
}

type told struct {
	at   time.Time
	left int
}

// Tell reports whether a line is due, and how many like it were left out since the last.
func (s *Sparse) Tell(key string) (leftOut int, due bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.told[key]
	if known && now.Sub(last.at) < SparseEvery {
		last.left++
		s.told[key] = last
		return 0, false
	}
	if !known {
		s.makeRoom(now)
	}
	s.told[key] = told{at: now}
	return last.left, true
}

func (s *Sparse) makeRoom(now time.Time) {
	if s.told == nil {
		s.told = make(map[string]told)
	}
	if len(s.told) < sparseMost {
		return
	}
	for key, t := range s.told {
		if now.Sub(t.at) >= SparseEvery {
			delete(s.told, key)
		}
	}
	if len(s.told) >= sparseMost {
		clear(s.told)
	}
}
