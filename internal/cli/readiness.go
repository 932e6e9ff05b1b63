package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// A part whose loop has not come round for so long hangs. The slowest goes round every few seconds.
	longestTurn = 30 * time.Second
	// Whoever asks for readiness gives up after seconds.
	probeWithin = 2 * time.Second
	// Whoever asks, however often, costs the database one question in this time.
	probeEvery = 500 * time.Millisecond
)

// readiness says whether a process does its work: each of its parts has begun, goes round, and reaches what it can't
// do without. A nil one hears of everything and is never asked.
type readiness struct {
	parts []string // that the process has

	mu      sync.Mutex // held for moments, as loops wait for it
	state   map[string]*partState
	stopped bool

	asking sync.Mutex // held by whoever asks the database
	asked  time.Time  // when it was asked last
	answer error
}

type partState struct {
	turn  time.Time // the last one, zero before the first
	once  bool      // it has no turns of its own
	probe func(context.Context) error
}

func newReadiness(parts []string) *readiness {
	r := &readiness{parts: parts, state: make(map[string]*partState, len(parts))}
	for _, name := range parts {
		r.state[name] = &partState{}
	}
	return r
}

// begins has a part asked by probe from now on. It isn't ready before its first turn.
func (r *readiness) begins(part string, probe func(context.Context) error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state[part] = &partState{probe: probe}
}

// turns gives what a part calls whenever its loop comes round.
func (r *readiness) turns(part string) func() {
	return func() {
		if r == nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state[part].turn = time.Now()
	}
}

// works says that a part without a loop has begun.
func (r *readiness) works(part string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state[part].turn, r.state[part].once = time.Now(), true
}

// stops says that the process was told to end.
func (r *readiness) stops() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// check is nil where the process does its work, and otherwise says what is in the way.
func (r *readiness) check(ctx context.Context) error {
	probes, err := r.look()
	if err != nil {
		return err
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if time.Since(r.asked) >= probeEvery {
		r.answer = askAll(ctx, probes)
		r.asked = time.Now()
	}
	return r.answer
}

// look says what is in the way as far as this process knows by itself, and gives what else is to be asked.
func (r *readiness) look() (probes map[string]func(context.Context) error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return nil, errors.New("the process is about to end")
	}
	var late []string
	probes = make(map[string]func(context.Context) error, len(r.parts))
	for _, name := range r.parts {
		switch s := r.state[name]; {
		case s.turn.IsZero():
			late = append(late, name+" has not begun")
		case !s.once && time.Since(s.turn) > longestTurn:
			late = append(late, fmt.Sprintf("%s has not come round for %s", name, time.Since(s.turn).Round(time.Second)))
		default:
			probes[name] = s.probe
		}
	}
	if len(late) > 0 {
		return nil, errors.New(strings.Join(late, "; "))
	}
	return probes, nil
}

func askAll(ctx context.Context, probes map[string]func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	for _, name := range sortedNames(probes) {
		if err := probes[name](ctx); err != nil {
			return errors.New(name + ": the database can't be used now") // the cause may name hosts; the logs have it
		}
	}
	return nil
}
