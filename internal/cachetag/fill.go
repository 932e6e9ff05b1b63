package cachetag

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// fill loads what a look did not find, together with all who looked under the same stamps.
func (c *Cache) fill(ctx context.Context, e Entry, s sight, load func(context.Context) ([]byte, error)) ([]byte, Outcome, error) {
	value, outcome, err := c.flights.do(ctx, s.keys[0]+s.fence, func(ctx context.Context) ([]byte, Outcome, error) {
		if e.Lease == 0 {
			value, err := c.loadAndKeep(ctx, e, s, load)
			return value, Miss, err
		}
		return c.underLease(ctx, e, s, load)
	})
	switch {
	case err == errClosed:
		return c.bypass(ctx, e, load)
	case outcome == Hit:
		c.counts.of(e.Name).hits.Add(1)
	case err == nil:
		c.counts.of(e.Name).misses.Add(1)
	}
	return value, outcome, err
}

func (c *Cache) loadAndKeep(ctx context.Context, e Entry, s sight, load func(context.Context) ([]byte, error)) ([]byte, error) {
	c.counts.loads.Add(1)
	value, err := load(ctx)
	if err != nil || len(value) > MaxValue {
		return value, err
	}
	_ = c.keep(ctx, e, s, value)
	return value, nil
}

// keep writes a value under the stamps of before its load. Were they replaced meanwhile, it is never
// served, and ends by its TTL or the next value.
func (c *Cache) keep(ctx context.Context, e Entry, s sight, value []byte) error {
	if !c.health.up() {
		return ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, c.writeTimeout)
	defer cancel()
	return c.noted(c.client.Set(ctx, s.keys[0], sealed(s.fence, value), jittered(min(e.TTL, LongestTTL))).Err())
}

// jittered spreads a time by a tenth to both sides.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// release gives a lease back if it is still the same.
var release = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// underLease loads if no other process does; else it waits for what that one brings. Whatever goes wrong
// with the lease only makes the load happen twice.
func (c *Cache) underLease(ctx context.Context, e Entry, s sight, load func(context.Context) ([]byte, error)) ([]byte, Outcome, error) {
	leaseKey, nonce := s.keys[0]+":lease", newStamp()
	if c.take(ctx, leaseKey, nonce, e.Lease) {
		defer c.giveBack(ctx, leaseKey, nonce)
		value, err := c.loadAndKeep(ctx, e, s, load)
		return value, Miss, err
	}
	deadline := time.Now().Add(e.Lease)
	for time.Now().Before(deadline) {
		pause(ctx, 20*time.Millisecond+time.Duration(rand.Int64N(int64(30*time.Millisecond))))
		if !c.health.up() || ctx.Err() != nil {
			break
		}
		now, err := c.look(ctx, e)
		if err != nil {
			break
		}
		if s = now; s.hit {
			return s.value, Hit, nil
		}
		if c.take(ctx, leaseKey, nonce, e.Lease) { // the other one gave up
			defer c.giveBack(ctx, leaseKey, nonce)
			break
		}
	}
	value, err := c.loadAndKeep(ctx, e, s, load)
	return value, Miss, err
}

func (c *Cache) take(ctx context.Context, key, nonce string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, c.writeTimeout)
	defer cancel()
	taken, err := c.client.SetNX(ctx, key, nonce, d).Result()
	// Without an answer everybody loads.
	return c.noted(err) != nil || taken
}

func (c *Cache) giveBack(ctx context.Context, key, nonce string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.writeTimeout)
	defer cancel()
	if c.health.up() {
		_ = c.noted(release.Run(ctx, c.client, []string{key}, nonce).Err())
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
