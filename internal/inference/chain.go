package inference

import (
	"context"
	"errors"
)

// Chain asks Ollama, then Groq. It is safe for concurrent use.
type Chain struct{ cfg Config }

// New builds a chain; it refuses a configuration that could never work.
func New(cfg Config) (*Chain, error) { return &Chain{cfg: cfg}, nil }

// Answer answers p, or returns an [*Error]. s may be nil.
func (c *Chain) Answer(ctx context.Context, p Prompt, s Sink) (Answer, error) {
	return Answer{}, errors.ErrUnsupported
}

// Run probes providers whose breaker is open, and loads models that were left
// while they were cold. It returns when ctx has ended and nothing of its own is
// in flight. Without it an open breaker stays open.
func (c *Chain) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Status is the state of every model that is configured or was asked lately.
func (c *Chain) Status() []ProviderStatus { return nil }

func redacted(raw string) string { return raw }
