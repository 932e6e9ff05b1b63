package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sparse passes on what River warns of, and the same once in ten seconds: it tells of every job that
// errors, which we tell ourselves, and of every fetch, many times a second, while the database is away.
type sparse struct {
	slog.Handler
	seen *seen
}

type seen struct {
	mu   sync.Mutex
	last map[string]time.Time // by message
}

const sparseEvery = 10 * time.Second

func newSparse(h slog.Handler) sparse {
	return sparse{h, &seen{last: make(map[string]time.Time)}}
}

// Enabled implements slog.Handler.
func (h sparse) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h sparse) Handle(ctx context.Context, r slog.Record) error {
	h.seen.mu.Lock()
	again := time.Since(h.seen.last[r.Message]) < sparseEvery
	if !again {
		h.seen.last[r.Message] = time.Now()
	}
	h.seen.mu.Unlock()
	if again {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h sparse) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sparse{h.Handler.WithAttrs(attrs), h.seen}
}

// WithGroup implements slog.Handler.
func (h sparse) WithGroup(name string) slog.Handler { return sparse{h.Handler.WithGroup(name), h.seen} }
