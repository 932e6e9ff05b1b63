// Package ratelimit counts the requests of clients in an exact sliding window: in any stretch of time as
// long as the window no more than the limit are let through, and a request that keeps to that is never
// refused. Windows that start by the clock, and counters that estimate, keep neither promise.
//
// The times of a client's requests are kept in Redis, where all processes see them. While Redis is away
// each process counts alone.
package ratelimit

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A request waits no longer than this for Redis before it is counted here.
	defaultTimeout = 50 * time.Millisecond
	// So many failures in a row, and Redis is not asked any more.
	failuresToOpen = 3
	// How often a Redis that is away is looked for, beside the requests, and for how long.
	probeEvery, probeTimeout = time.Second, 2 * time.Second
)

// Config is what a Limiter needs.
type Config struct {
	Window  time.Duration
	Redis   *redis.Options // nil: each process counts alone
	Timeout time.Duration  // of one question to Redis; 0: 50 ms
	Log     *slog.Logger
}

// A Result is what became of one request. Times are from now.
type Result struct {
	Allowed    bool
	Limit      int
	Remaining  int           // requests that would be let through now
	Reset      time.Duration // until the oldest request that counts leaves the window
	RetryAfter time.Duration // until a request is let through again; 0 when this one was
}

// State says where requests are counted.
type State string

// The states.
const (
	Shared State = "redis" // over all processes
	Alone  State = "alone" // no Redis is configured
	Away   State = "away"  // Redis is configured and can't be asked
)

// A Limiter counts requests. Close it when no more come.
type Limiter struct {
	window  time.Duration
	timeout time.Duration
	log     *slog.Logger
	shared  *redisLog // nil: none
	local   *localLog
	began   time.Time

	failures atomic.Int32 // in a row
	away     atomic.Bool
	fallback atomic.Uint64
	allowed  atomic.Uint64
	refused  atomic.Uint64

	probing context.Context
	stop    context.CancelFunc
	probes  sync.WaitGroup
}

// New makes a limiter. It asks Redis when the first request comes.
func New(c Config) *Limiter {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	l := &Limiter{window: c.Window, timeout: c.Timeout, log: c.Log, local: newLocalLog(c.Window), began: time.Now()}
	l.probing, l.stop = context.WithCancel(context.Background())
	if c.Redis != nil {
		l.shared = newRedisLog(c.Redis, c.Window, c.Timeout)
	}
	return l
}

// Close waits for what goes on beside requests.
func (l *Limiter) Close() error {
	l.stop()
	l.probes.Wait()
	if l.shared == nil {
		return nil
	}
	return l.shared.client.Close()
}

// Window is the stretch of time that limits are for.
func (l *Limiter) Window() time.Duration { return l.window }

// State says where requests are counted now.
func (l *Limiter) State() State {
	switch {
	case l.shared == nil:
		return Alone
	case l.away.Load():
		return Away
	}
	return Shared
}

// Decisions is how often requests were let through, and how often not, since New. What was given back counts.
func (l *Limiter) Decisions() (allowed, refused uint64) { return l.allowed.Load(), l.refused.Load() }

// Fallbacks is how many requests were counted by this process alone, as Redis could not be asked.
func (l *Limiter) Fallbacks() uint64 { return l.fallback.Load() }

// Take counts a request of a client, unless it is one too many: those leave no trace, so that who asks too
// often is let through again as soon as who doesn't. It never fails.
func (l *Limiter) Take(ctx context.Context, client string, limit int) Result {
	r, _ := l.TakeN(ctx, client, limit, 1)
	return r
}

// TakeN counts n requests of a client at once, all or none. What it has counted can be given back, when nothing
// came of them; more than the limit at once are never let through, and are told to wait for a whole window.
//
// What Redis lets through is noted here as well, and must keep to the limit here too. So a client that has
// used its limit up gets no second one when Redis goes away or comes back, as far as this process knows.
func (l *Limiter) TakeN(ctx context.Context, client string, limit, n int) (Result, Taken) {
	r, t := l.takeN(ctx, client, limit, n)
	if r.Allowed {
		l.allowed.Add(1)
	} else {
		l.refused.Add(1)
	}
	return r, t
}

func (l *Limiter) takeN(ctx context.Context, client string, limit, n int) (Result, Taken) {
	began := time.Since(l.began)
	limit, n = max(1, limit), max(1, n)
	if l.shared == nil {
		return l.alone(client, limit, n, began)
	}
	if !l.away.Load() {
		id := rand.Uint64()
		r, err := l.ask(ctx, client, limit, n, id)
		if err == nil {
			l.failures.Store(0)
			if r.Allowed && !l.local.note(client, limit, n, began, time.Since(l.began)) {
				return l.alone(client, limit, n, time.Since(l.began))
			}
			return r, Taken{limiter: l, client: client, n: n, at: began, id: id, shared: true}
		}
		l.failed(err)
	}
	l.fallback.Add(1)
	return l.alone(client, limit, n, time.Since(l.began))
}

func (l *Limiter) alone(client string, limit, n int, now time.Duration) (Result, Taken) {
	return l.local.take(client, limit, n, now), Taken{limiter: l, client: client, n: n, at: now}
}

// Taken is what TakeN has counted, if it has.
type Taken struct {
	limiter *Limiter
	client  string
	n       int
	at      time.Duration // as it is noted here
	id      uint64        // as it is noted in Redis
	shared  bool
}

// GiveBack makes requests that were let through as if they had never been. It is called once at most. A Redis
// that doesn't answer keeps them counted.
func (t Taken) GiveBack(ctx context.Context) {
	t.limiter.local.giveBack(t.client, t.n, t.at)
	if !t.shared || t.limiter.away.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.limiter.timeout)
	defer cancel()
	if err := t.limiter.shared.giveBack(ctx, t.client, t.n, t.id); err != nil {
		t.limiter.failed(err)
	}
}

// ask is not cut short by a client that hangs up: that would look like a Redis that is away.
func (l *Limiter) ask(ctx context.Context, client string, limit, n int, id uint64) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.timeout)
	defer cancel()
	return l.shared.take(ctx, client, limit, n, id)
}

func (l *Limiter) failed(err error) {
	if l.failures.Add(1) < failuresToOpen || !l.away.CompareAndSwap(false, true) {
		return
	}
	l.log.Warn("redis is away, each process limits requests alone", "error", err)
	l.probes.Go(l.awaitRedis)
}

// awaitRedis asks until Redis counts again. A ping would not do: a Redis without memory answers it.
func (l *Limiter) awaitRedis() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.probing.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(l.probing, probeTimeout)
		_, err := l.shared.take(ctx, "probe", 1, 1, rand.Uint64())
		cancel()
		if err == nil {
			l.failures.Store(0)
			l.away.Store(false)
			l.log.Info("redis is back, requests are limited over all processes")
			return
		}
	}
}
