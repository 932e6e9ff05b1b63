package ratelimit

import (
	"sync"
	"time"
)

// What a process remembers at most, over all clients: 16 MB of times, and about as much for names. Beyond
// it those that were silent longest are forgotten.
const (
	maxClients = 1 << 16
	maxTimes   = 2 << 20
)

// localLog is the log of one process. It works on times since some beginning.
type localLog struct {
	window time.Duration

	mu      sync.Mutex
	clients map[string]*localClient
	// A ring in the order of the last requests that were let through: what can be forgotten is at its
	// beginning.
	ring  localClient
	times int // room for times, over all clients
}

// localClient is a ring buffer of the times that count.
type localClient struct {
	name       string
	times      []time.Duration
	first, n   int
	prev, next *localClient
}

func newLocalLog(window time.Duration) *localLog {
	l := &localLog{window: window, clients: make(map[string]*localClient)}
	l.ring.prev, l.ring.next = &l.ring, &l.ring
	return l
}

// take counts n requests unless they are too many.
func (l *localLog) take(client string, limit, n int, now time.Duration) Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	c := l.client(client)
	c.expire(now - l.window)
	r := Result{Limit: limit}
	if c.n+n > limit {
		if c.n > 0 {
			r.Reset = c.at(0) + l.window - now
		}
		r.Remaining, r.RetryAfter = max(0, limit-c.n), l.window
		if n <= limit {
			r.RetryAfter = c.at(c.n+n-limit-1) + l.window - now
		}
		l.dropEmpty(c)
		return r
	}
	for range n {
		l.add(c, limit, now)
	}
	r.Allowed, r.Remaining, r.Reset = true, limit-c.n, c.at(0)+l.window-now
	return r
}

// note counts n requests that the shared log has let through at some time from began to now, or reports
// that they are too many here. While the shared log knows all that this one does that can't be: here each
// is noted no later than there, and asked for no earlier.
func (l *localLog) note(client string, limit, n int, began, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	c := l.client(client)
	c.expire(now - l.window)
	if c.n+n > limit {
		l.dropEmpty(c)
		return false
	}
	for range n {
		l.add(c, limit, began)
	}
	return true
}

// giveBack forgets n of the requests of a time, as far as they still count.
func (l *localLog) giveBack(client string, n int, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[client]
	if c == nil {
		return
	}
	kept := 0
	for i := range c.n {
		if c.at(i) == at && n > 0 {
			n--
			continue
		}
		c.times[(c.first+kept)%len(c.times)] = c.at(i)
		kept++
	}
	c.n = kept
	l.dropEmpty(c)
}

// dropEmpty forgets a client of whom nothing is known.
func (l *localLog) dropEmpty(c *localClient) {
	if c.n == 0 {
		l.remove(c)
	}
}

func (l *localLog) client(name string) *localClient {
	c := l.clients[name]
	if c == nil {
		c = &localClient{name: name}
		c.prev, c.next = c, c
		l.clients[name] = c
	}
	return c
}

// add notes a time. Requests that overlap come out of order by a moment; the log stays in order.
func (l *localLog) add(c *localClient, limit int, at time.Duration) {
	l.times += c.grow(limit)
	i := c.n
	for c.n++; i > 0 && c.at(i-1) > at; i-- {
		c.times[(c.first+i)%len(c.times)] = c.at(i - 1)
	}
	c.times[(c.first+i)%len(c.times)] = at
	c.unlink()
	c.prev, c.next = l.ring.prev, &l.ring
	c.prev.next, c.next.prev = c, c
	for l.ring.next != c && (len(l.clients) > maxClients || l.times > maxTimes) {
		l.remove(l.ring.next)
	}
}

// forget drops clients of which nothing counts any more.
func (l *localLog) forget(now time.Duration) {
	for c := l.ring.next; c != &l.ring && c.at(c.n-1) <= now-l.window; c = l.ring.next {
		l.remove(c)
	}
}

func (l *localLog) remove(c *localClient) {
	c.unlink()
	l.times -= len(c.times)
	delete(l.clients, c.name)
}

func (c *localClient) at(i int) time.Duration { return c.times[(c.first+i)%len(c.times)] }

func (c *localClient) drop() {
	c.first = (c.first + 1) % len(c.times)
	c.n--
}

// expire drops times up to and including end.
func (c *localClient) expire(end time.Duration) {
	for c.n > 0 && c.at(0) <= end {
		c.drop()
	}
}

// grow makes room for one more, and says how much room was added.
func (c *localClient) grow(limit int) int {
	if c.n < len(c.times) {
		return 0
	}
	wider := make([]time.Duration, max(c.n+1, min(limit, max(4, 2*c.n))))
	for i := range c.n {
		wider[i] = c.at(i)
	}
	added := len(wider) - len(c.times)
	c.times, c.first = wider, 0
	return added
}

func (c *localClient) unlink() {
	c.prev.next, c.next.prev = c.next, c.prev
}
