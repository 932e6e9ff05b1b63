package workers

import (
	"context"
	"log/slog"

	"github.com/payaid/payaid/internal/telemetry"
)

// sparse passes on what River warns of, and the same once in ten seconds: it tells of every job that
// errors, which we tell ourselves, and of every fetch, many times a second, while the database is away.
type sparse struct {
	slog.Handler
	lines *telemetry.Sparse // by message
}

func newSparse(h slog.Handler) sparse { return sparse{h, &telemetry.Sparse{}} }

// Enabled implements slog.Handler.
func (h sparse) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h sparse) Handle(ctx context.Context, r slog.Record) error {
	leftOut, due := h.lines.Tell(r.Message)
	if !due {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h sparse) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sparse{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup implements slog.Handler.
func (h sparse) WithGroup(name string) slog.Handler {
	return sparse{h.Handler.WithGroup(name), h.lines}
}
