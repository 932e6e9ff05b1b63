package inference

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxNamed bounds the breakers of models that only clients name: screens show
	// them, and any client may name what it likes. Beyond it the one that was asked
	// longest ago goes; a model without a breaker is simply asked.
	maxNamed = 20
	// maxTended bounds the models that wait to be tended, or are measured.
	maxTended = 256
	// forgetAfter is when a model that only a client named is no longer probed.
	forgetAfter = 10 * time.Minute
)

type target struct{ provider, model string }

// board holds the breakers of all models, and the models that wait to be
// tended.
type board struct {
	wake  chan struct{}
	delay time.Duration                  // of the first probe of a breaker
	away  func(b *breaker, class string) // hears when a model goes away

	mu       sync.Mutex
	breakers map[target]*breaker
	left     map[string]care // models of Ollama that are to be tended
}

func newBoard() *board {
	return &board{wake: make(chan struct{}, 1), delay: firstDelay, away: func(*breaker, string) {},
		breakers: map[target]*breaker{}, left: map[string]care{}}
}

// configure gives a model a breaker that stays.
func (b *board) configure(provider, model string) {
	b.get(provider, model).configured = true
}

func (b *board) get(provider, model string) *breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := target{provider, model}
	if br, ok := b.breakers[at]; ok {
		return br
	}
	br := &breaker{provider: provider, model: model, delay: b.delay,
		state: stateClosed, opened: b.signal, left: b.away, asked: time.Now()}
	b.makeRoom()
	b.breakers[at] = br
	return br
}

// makeRoom bounds the breakers of models that clients named; b.mu is held. Calls under way settle theirs all the
// same.
func (b *board) makeRoom() {
	b.forget()
	var oldest *breaker
	named := 0
	for _, br := range b.breakers {
		if br.configured {
			continue
		}
		named++
		if oldest == nil || br.lastAsked().Before(oldest.lastAsked()) {
			oldest = br
		}
	}
	if named >= maxNamed {
		delete(b.breakers, target{oldest.provider, oldest.model})
	}
}

// absent drops a model that a client named, and that there isn't.
func (b *board) absent(provider, model string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if br, ok := b.breakers[target{provider, model}]; ok && !br.configured {
		delete(b.breakers, target{provider, model})
	}
}

// forget drops what nobody asks for any more; b.mu is held.
func (b *board) forget() {
	since := time.Now().Add(-forgetAfter)
	maps.DeleteFunc(b.breakers, func(_ target, br *breaker) bool { return br.idle(since) })
}

func (b *board) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// all gives the breakers of models that are configured or were asked lately, ordered by provider and model.
func (b *board) all() []*breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	return slices.SortedFunc(maps.Values(b.breakers), func(x, y *breaker) int {
		if x.provider != y.provider {
			return -strings.Compare(x.provider, y.provider) // Ollama first
		}
		return strings.Compare(x.model, y.model)
	})
}

// due gives the breakers whose probe is to be made now, marked as being probed,
// and the time of the next one; zero if none is open.
func (b *board) due() ([]*breaker, time.Time) {
	var now []*breaker
	var next time.Time
	for _, br := range b.all() {
		ready, at := br.startProbe()
		switch {
		case ready:
			now = append(now, br)
		case !at.IsZero() && (next.IsZero() || at.Before(next)):
			next = at
		}
	}
	return now, next
}

// care is how far the tending of a model is.
type care struct {
	busy  bool
	again bool // it was left once more meanwhile
}

// tend asks for model to be looked after: it was left before its answer ended.
func (b *board) tend(model string) {
	b.mu.Lock()
	if now, ok := b.left[model]; ok || len(b.left) < maxTended {
		b.left[model] = care{busy: now.busy, again: now.busy}
	}
	b.mu.Unlock()
	b.signal()
}

// toTend gives the models that are to be tended now, marked as being so.
func (b *board) toTend() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var models []string
	for model, now := range b.left {
		if !now.busy {
			b.left[model] = care{busy: true}
			models = append(models, model)
		}
	}
	return models
}

func (b *board) tended(model string) {
	b.mu.Lock()
	again := b.left[model].again
	delete(b.left, model)
	b.mu.Unlock()
	if again {
		b.tend(model)
	}
}
