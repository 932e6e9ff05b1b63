package inference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Chain asks Ollama, then Groq. It is safe for concurrent use.
type Chain struct {
	cfg    Config
	ollama *ollama // nil: disabled
	groq   *groq   // nil: not configured
	board  *board
	stuck  time.Duration // after which a model that gives no token is unloaded
	told   told
	// warmEvery is between two looks at what Ollama has in memory.
	warmEvery time.Duration
	stall     time.Duration // of a pull
	pace      pace          // of Ollama
}

// told keeps the log from repeating, for every prompt that waits, what the owner has to mend.
type told struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// again reports whether the same was told within the last quarter of an hour.
func (t *told) again(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last[what]) < 15*time.Minute {
		return true
	}
	if t.last == nil {
		t.last = make(map[string]time.Time)
	}
	if len(t.last) >= maxTended { // models that clients name are among them
		clear(t.last)
	}
	t.last[what] = time.Now()
	return false
}

// forget lets the next time be told at once.
func (t *told) forget(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, what)
}

// New builds a chain; it refuses a configuration that could never work. A chain
// without any provider is allowed: what is asked of it waits, and says for what.
func New(cfg Config) (*Chain, error) {
	cfg = cfg.withDefaults()
	local, localErr := address("OLLAMA_URL", cfg.OllamaURL)
	remote, remoteErr := address("GROQ_BASE_URL", cfg.GroqBaseURL)
	if err := errors.Join(localErr, remoteErr, checkKey(cfg.GroqKey)); err != nil {
		return nil, err
	}
	c := &Chain{cfg: cfg, board: newBoard(), stuck: stuckTime, warmEvery: warmEvery, stall: pullStall}
	c.board.away = c.wentAway
	if cfg.OllamaEnabled {
		c.ollama = newOllama(local, c.keepAlive)
		c.board.configure(Ollama, cfg.OllamaModels.Fast)
		c.board.configure(Ollama, cfg.OllamaModels.Large)
	}
	if cfg.GroqKey != "" {
		c.groq = newGroq(remote.String(), cfg.GroqKey, cfg.GroqServiceTier, cfg.GroqProxy)
		c.board.configure(Groq, cfg.GroqModels.Fast)
		c.board.configure(Groq, cfg.GroqModels.Large)
	}
	return c, nil
}

// Answer answers p, or returns an [*Error], which holds the attempts. s may be
// nil. It returns within the time that the package's documentation states, or
// as soon as ctx ends; Ollama then stops at once.
func (c *Chain) Answer(ctx context.Context, p Prompt, s Sink) (Answer, error) {
	r, bad := c.prepare(p, s)
	if bad != nil {
		return Answer{}, bad
	}
	answer, err := r.answer(ctx)
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// Run probes models whose breaker is open, tends those whose answer was left
// before its end, and keeps those warm that are to be. It returns when ctx has
// ended and nothing of its own is in flight. Without it an open breaker stays
// open.
func (c *Chain) Run(ctx context.Context) error {
	var busy sync.WaitGroup
	defer busy.Wait()
	busy.Go(func() { c.keepWarm(ctx) })
	for {
		for _, model := range c.board.toTend() {
			busy.Go(func() { c.tend(ctx, model) })
		}
		ready, next := c.board.due()
		for _, b := range ready {
			busy.Go(func() { c.probe(ctx, b) })
		}
		if !c.rest(ctx, next) {
			return nil
		}
	}
}

// rest waits until next, unless it is zero, or until something has changed. It
// says whether ctx still lives.
func (c *Chain) rest(ctx context.Context, next time.Time) bool {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(time.Until(next))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-due:
	case <-c.board.wake:
	}
	return ctx.Err() == nil
}

// Status is the state of every model that is configured or was asked lately,
// Ollama's first. A provider that is not in use has one row without a model.
func (c *Chain) Status() []ProviderStatus {
	var rows []ProviderStatus
	if c.ollama == nil {
		rows = append(rows, ProviderStatus{Provider: Ollama, State: stateDisabled})
	}
	for _, b := range c.board.all() {
		rows = append(rows, b.status())
	}
	if c.groq == nil {
		rows = append(rows, ProviderStatus{Provider: Groq, State: stateUnset})
	}
	return rows
}

// Check probes every configured model now, whatever its breaker says, and gives
// a sentence for each that can't be asked. It is for doctor, not for requests.
func (c *Chain) Check(ctx context.Context) []error {
	var faults []error
	for _, b := range c.board.all() {
		if !b.configured {
			continue
		}
		provider := backend(c.groq)
		if b.provider == Ollama {
			provider = c.ollama
		}
		if f := provider.probe(ctx, b.model); f != nil {
			faults = append(faults, fmt.Errorf("ask %s for %s: %s %s", b.provider, b.model, provider.subject(), f.detail))
		}
	}
	return faults
}
