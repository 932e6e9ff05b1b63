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
	c := &Chain{cfg: cfg, board: newBoard()}
	if cfg.OllamaEnabled {
		c.ollama = newOllama(local, cfg.KeepAlive)
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

// The times that a probe has. A cold model of 13 billion parameters loads for a
// minute and more.
const (
	ollamaProbeTime = 2 * time.Minute
	groqProbeTime   = 10 * time.Second
)

// Run probes models whose breaker is open, and loads those that were left while
// they were cold, the fast one at the start. It returns when ctx has ended and
// nothing of its own is in flight. Without it an open breaker stays open.
func (c *Chain) Run(ctx context.Context) error {
	var busy sync.WaitGroup
	defer busy.Wait()
	if c.ollama != nil {
		c.board.warm(c.cfg.OllamaModels.Fast)
	}
	for {
		for _, model := range c.board.toLoad() {
			busy.Go(func() { c.load(ctx, model) })
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

func (c *Chain) probe(ctx context.Context, b *breaker) {
	limit, provider := ollamaProbeTime, backend(c.ollama)
	if b.provider == Groq {
		limit, provider = groqProbeTime, c.groq
	}
	probe, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f := provider.probe(probe, b.model)
	switch {
	case ctx.Err() != nil:
		f = &failure{class: Cancelled}
	case probe.Err() != nil:
		f = &failure{class: Timeout}
	}
	b.endProbe(f)
	c.board.signal()
	if f == nil {
		c.cfg.Log.Info("model answers again", "provider", b.provider, "model", b.model)
	}
}

func (c *Chain) load(ctx context.Context, model string) {
	defer c.board.loaded(model)
	loading, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	if f := c.ollama.load(loading, model); f != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("model not loaded", "provider", Ollama, "model", model, "class", f.class, "detail", f.detail)
	}
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
