package inference

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// threshold opens a breaker. It is in halves of a failure, because being
	// told to come back later is half as bad as no answer: 5 failures in a row.
	threshold = 10

	firstDelay = 10 * time.Second
	maxDelay   = 60 * time.Second
	authDelay  = 60 * time.Second
)

// The states of a model at a provider, as screens show them.
const (
	stateClosed   = "closed"
	stateOpen     = "open"
	stateHalfOpen = "half_open"
	stateLimited  = "limited"
	stateDisabled = "disabled"
	stateUnset    = "unconfigured"
)

// weight is how much a class counts towards opening; 0 leaves the count as it
// is, for it says nothing on whether the provider is there.
func weight(class string) int {
	switch class {
	case Unavailable, Timeout, Truncated, Server:
		return 2
	case Overloaded:
		return 1
	}
	return 0
}

// breaker keeps calls from a model that is away. It opens by failures in a row,
// for 10 s at first and up to 60 s, and is half-opened by a probe alone, so that
// no caller waits to find out. The first real call after that is the trial.
type breaker struct {
	provider, model string
	configured      bool
	delay           time.Duration          // of the first probe
	opened          func()                 // wakes whoever probes
	left            func(*breaker, string) // hears of each outage once, and by which class of failure

	mu      sync.Mutex
	state   string
	score   int
	opens   int       // in a row
	due     time.Time // of the next probe, while open
	probing bool
	trial   bool // is running, while half-open
	limited time.Time
	limit   *RateLimit
	asked   time.Time
	last    string // class of the last failure
	lastAt  time.Time
}

// permit is one admitted call; it must be settled.
type permit struct {
	b     *breaker
	trial bool
}

// admit lets a call through, or says how long it should wait.
func (b *breaker) admit() (permit, time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = time.Now()
	switch {
	case b.state == stateOpen:
		return permit{}, max(time.Until(b.due), time.Second), false
	case b.state == stateHalfOpen && b.trial:
		return permit{}, time.Second, false
	case b.state == stateHalfOpen:
		b.trial = true
		return permit{b, true}, 0, true
	}
	return permit{b, false}, 0, true
}

// usable says whether a call would be admitted now or within patience.
func (b *breaker) usable(patience time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == stateOpen || b.state == stateHalfOpen && b.trial {
		return false
	}
	return time.Until(b.limited) <= patience
}

// pause is how long the provider has asked to be left alone from now on.
func (b *breaker) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, time.Until(b.limited))
}

// settle records how a call ended; f is nil for an answer. Who hears that the breaker opened by it may look at
// others.
func (p permit) settle(f *failure, limit *RateLimit) {
	if p.count(f, limit) {
		p.b.left(p.b, f.class)
	}
}

// count says whether the breaker opened by this end.
func (p permit) count(f *failure, limit *RateLimit) bool {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.state
	if limit != nil {
		b.limit = limit
	}
	if p.trial {
		b.trial = false
	}
	if f == nil {
		b.succeed(p.trial)
		return false
	}
	if f.class == Cancelled || f.class == OutOfBudget || f.class == Unchecked {
		return false // says nothing about the provider
	}
	b.last, b.lastAt = f.class, time.Now()
	if f.class == Overloaded && f.retryAfter > 0 {
		b.limited = time.Now().Add(f.retryAfter)
		return false
	}
	b.fault(f.class, p.trial)
	return before != stateOpen && b.state == stateOpen
}

// succeed counts from the start again. A late answer to a call from before the
// breaker opened leaves it open: the probe will tell.
func (b *breaker) succeed(trial bool) {
	if b.state == stateClosed || trial && b.state == stateHalfOpen {
		b.state, b.score, b.opens = stateClosed, 0, 0
	}
}

func (b *breaker) fault(class string, trial bool) {
	if class == Auth {
		b.open(authDelay)
		return
	}
	w := weight(class)
	if w == 0 || b.state == stateOpen || b.state == stateHalfOpen && !trial {
		return
	}
	b.score += w
	if trial || b.score >= threshold {
		b.open(0)
	}
}

// open closes the way until the next probe, in atLeast or later.
func (b *breaker) open(atLeast time.Duration) {
	delay := min(b.delay<<min(b.opens, 8), maxDelay)
	b.opens++
	b.state, b.score, b.trial = stateOpen, 0, false
	// Jitter, lest all processes probe at the same moment.
	b.due = time.Now().Add(max(atLeast, time.Duration(float64(delay)*(0.8+0.4*rand.Float64()))))
	b.opened()
}

// startProbe says whether the time for a probe has come, or else when it will;
// zero means never.
func (b *breaker) startProbe() (bool, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != stateOpen || b.probing {
		return false, time.Time{}
	}
	if time.Now().Before(b.due) {
		return false, b.due
	}
	b.probing = true
	return true, time.Time{}
}

// endProbe half-opens the breaker, or leaves it open for longer.
func (b *breaker) endProbe(f *failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if b.state != stateOpen || f != nil && f.class == Cancelled {
		return
	}
	if f == nil {
		b.state = stateHalfOpen
		return
	}
	b.last, b.lastAt = f.class, time.Now()
	b.open(0)
}

// arrived has the probe look at once for a model that was missing.
func (b *breaker) arrived() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last != Misconfigured {
		return
	}
	b.last, b.lastAt = "", time.Time{}
	if b.state == stateOpen {
		b.opens, b.due = 0, time.Now()
		b.opened()
	}
}

func (b *breaker) status() ProviderStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := ProviderStatus{Provider: b.provider, Model: b.model, State: b.state,
		LastClass: b.last, LastFailure: b.lastAt, Limit: b.limit}
	switch {
	case b.state == stateOpen:
		s.NextProbe = b.due
	case b.state == stateClosed && time.Now().Before(b.limited):
		s.State, s.NextProbe = stateLimited, b.limited
	}
	return s
}

// lastClass is the class of the last failure.
func (b *breaker) lastClass() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

func (b *breaker) lastAsked() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// idle says that nobody has asked for the model in a while, and nothing waits
// for it.
func (b *breaker) idle(since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.configured && !b.probing && !b.trial && b.asked.Before(since)
}
