package ratelimit

import (
	"log/slog"
	"testing"
	"time"
)

// What many ask at once, and is refused as one, is one decision.
func TestDecisionsAreCounted(t *testing.T) {
	t.Parallel()
	l := New(Config{Window: time.Hour, Log: slog.New(slog.DiscardHandler)})
	defer func() { _ = l.Close() }()
	for range 5 {
		l.Take(t.Context(), "a", 3)
	}
	_, taken := l.TakeN(t.Context(), "b", 3, 2)
	taken.GiveBack(t.Context())
	l.TakeN(t.Context(), "c", 3, 4)
	if allowed, refused := l.Decisions(); allowed != 4 || refused != 3 {
		t.Errorf("got %d allowed and %d refused, want 4 and 3", allowed, refused)
	}
}
