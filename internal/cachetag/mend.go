package cachetag

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// downAfter is how many calls in a row must fail before Redis counts as away: one may be bad luck.
const downAfter = 3

// health is a circuit breaker. While it is open, requests lose no time to a dead Redis; the goroutine of
// Open asks after it.
type health struct {
	mu     sync.RWMutex
	failed int
	down   bool
	closed bool
}

func (h *health) up() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return !h.down && !h.closed
}

func (h *health) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// report counts an outcome and says whether Redis went down or came up by it.
func (h *health) report(err error) (changed bool) {
	h.mu.RLock()
	quiet := err == nil && h.failed == 0 && !h.down
	h.mu.RUnlock()
	if quiet {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.down
	if err == nil {
		h.failed, h.down = 0, false
	} else if h.failed++; h.failed >= downAfter {
		h.down = true
	}
	return h.down != before
}

// noted reports what became of a call to Redis, and gives its error back.
func (c *Cache) noted(err error) error {
	if err != nil {
		c.counts.errors.Add(1)
	}
	if !c.health.report(err) {
		return err
	}
	if err == nil {
		c.log.Info("cache is back")
		return nil
	}
	c.log.Warn("cache is away; reads go to the database", "error", err)
	c.mendSoon()
	return err
}

func (c *Cache) mendSoon() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

const (
	firstMend = 100 * time.Millisecond
	lastMend  = 2 * time.Second
	// A first connection may take longer than a request should wait for it.
	pingTimeout = 2 * time.Second
	payTogether = 500
)

// mend asks after a Redis that is away, and makes the invalidations that are owed, until ctx ends.
func (c *Cache) mend(ctx context.Context) {
	defer close(c.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for wait := firstMend; ; wait = min(2*wait, lastMend) {
			if c.mended(ctx) || ctx.Err() != nil {
				break
			}
			pause(ctx, wait/2+time.Duration(rand.Int64N(int64(wait))))
		}
	}
}

// mended reports whether nothing is left to do.
func (c *Cache) mended(ctx context.Context) bool {
	if !c.health.up() {
		asking, cancel := context.WithTimeout(ctx, pingTimeout)
		err := c.client.Ping(asking).Err()
		cancel()
		if ctx.Err() != nil || c.noted(err) != nil {
			return false
		}
	}
	for c.owed.count.Load() > 0 {
		list := c.owed.some(payTogether)
		due := c.owed.numbers(list)
		if err := c.restamp(ctx, list); err != nil {
			return false
		}
		c.owed.settle(list, due)
	}
	return true
}
