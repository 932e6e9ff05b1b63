package ratelimit

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// patient is a limiter whose Redis may be slow, as it is on a machine that is busy with tests.
func patient(t *testing.T, r *localstack.Redis, window time.Duration) *Limiter {
	t.Helper()
	l := New(Config{Window: window, Redis: redisOptions(t, r), Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Two processes count together, by the clock of Redis: what both let through in any window is within the
// limit.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	const limit, window = 20, 500 * time.Millisecond
	r := localstack.TestRedis(t)
	both := []*Limiter{patient(t, r, window), patient(t, r, window)}
	var mu sync.Mutex
	type passed struct{ before, after time.Time }
	var let []passed
	var refused atomic.Int64
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			for end := time.Now().Add(4 * window); time.Now().Before(end); {
				before := time.Now()
				if got := both[i%2].Take(t.Context(), "two", limit); !got.Allowed {
					refused.Add(1)
					continue
				}
				mu.Lock()
				let = append(let, passed{before, time.Now()})
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	// Each passed somewhere between its two times, so only what surely lies within a window counts.
	for _, first := range let {
		n := 0
		for _, p := range let {
			if !p.before.Before(first.before) && p.after.Sub(first.before) < window {
				n++
			}
		}
		if n > limit {
			t.Fatalf("%d requests within %s", n, window)
		}
	}
	if len(let) < 3*limit || refused.Load() == 0 {
		t.Errorf("%d let through, %d refused: that tells nothing", len(let), refused.Load())
	}
	for _, l := range both {
		if l.State() != Shared || l.Fallbacks() != 0 {
			t.Errorf("counted alone: %s, %d times", l.State(), l.Fallbacks())
		}
	}
}

func TestKeyEndsWithWindow(t *testing.T) {
	t.Parallel()
	l := patient(t, localstack.TestRedis(t), time.Hour)
	l.Take(t.Context(), "ends", 10)
	ttl, err := l.shared.client.PTTL(t.Context(), "payaid:rate:{ends}").Result()
	if err != nil || ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("lives for %s, %v", ttl, err)
	}
}

// A Redis that dies costs no request an error, and no client gets its limit a second time.
func TestRedisGoesInTheMiddle(t *testing.T) {
	t.Parallel()
	const limit = 10
	var log syncBuffer
	r := localstack.NewRedis(t)
	l := New(Config{Window: time.Hour, Redis: redisOptions(t, r), Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer l.Close()
	allowed := 0
	take := func(n int) {
		for range n {
			if l.Take(t.Context(), "c", limit).Allowed {
				allowed++
			}
		}
	}
	take(6)
	if l.State() != Shared {
		t.Fatalf("state %s", l.State())
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	take(20)
	if allowed != limit {
		t.Errorf("%d let through, want %d: those before count", allowed, limit)
	}
	if l.State() != Away || l.Fallbacks() < 20 {
		t.Errorf("%s, %d fallbacks", l.State(), l.Fallbacks())
	}
	began := time.Now()
	take(1000)
	if took := time.Since(began); took > 10*time.Second { // asked each time, it would be 50
		t.Errorf("1000 requests without Redis took %s", took)
	}
	if s := log.String(); strings.Count(s, "redis is away") != 1 {
		t.Errorf("log %s", s)
	}
}

// A Redis that was away knows nothing of what was let through meanwhile; this process does.
func TestRedisComesBackEmpty(t *testing.T) {
	t.Parallel()
	const limit = 10
	l := patient(t, localstack.TestRedis(t), time.Hour)
	allowed := 0
	for i := range 30 {
		l.away.Store(i >= 3 && i < 8)
		if r := l.Take(t.Context(), "back", limit); r.Allowed {
			allowed++
		} else if r.RetryAfter <= 0 {
			t.Errorf("request %d: %+v", i, r)
		}
	}
	if allowed != limit {
		t.Errorf("%d let through, want %d", allowed, limit)
	}
}

// A Redis that hangs, as a frozen host does, costs a few requests a moment and the others nothing.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	r := localstack.NewRedis(t)
	l := New(Config{Window: time.Hour, Redis: redisOptions(t, r), Timeout: time.Second, Log: slog.New(slog.DiscardHandler)})
	defer l.Close()
	l.Take(t.Context(), "c", 1000)
	pause := patient(t, r, time.Hour).shared.client
	if err := pause.Do(t.Context(), "CLIENT", "PAUSE", "15000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 500 {
		l.Take(t.Context(), "c", 1000)
	}
	if took := time.Since(began); took > 12*time.Second { // asked each time, it would be 500
		t.Errorf("500 requests with a hanging Redis took %s", took)
	}
	if l.State() != Away {
		t.Errorf("state %s", l.State())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for l.State() != Shared {
		select {
		case <-ctx.Done():
			t.Fatal("it is not asked again")
		case <-time.After(20 * time.Millisecond):
		}
	}
	before := l.Fallbacks()
	if r := l.Take(t.Context(), "new", 5); !r.Allowed || l.Fallbacks() != before {
		t.Errorf("got %+v, counted alone: %v", r, l.Fallbacks() != before)
	}
}

// A client that hangs up is not a Redis that is away.
func TestHangUpIsNoFailure(t *testing.T) {
	t.Parallel()
	l := patient(t, localstack.TestRedis(t), time.Hour)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * failuresToOpen {
		if r := l.Take(gone, "gone", 100); !r.Allowed {
			t.Errorf("got %+v", r)
		}
	}
	if l.State() != Shared || l.Fallbacks() != 0 {
		t.Errorf("%s, %d fallbacks", l.State(), l.Fallbacks())
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	l := New(Config{Window: time.Hour, Log: slog.New(slog.DiscardHandler)})
	defer l.Close()
	var allowed atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				if l.Take(t.Context(), "c", 100).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	clients.Wait()
	if allowed.Load() != 100 || l.State() != Alone || l.Fallbacks() != 0 {
		t.Errorf("%d let through, %s, %d fallbacks", allowed.Load(), l.State(), l.Fallbacks())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
