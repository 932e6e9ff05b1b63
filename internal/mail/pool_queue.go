package mail

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue hands out connections, and leave to make one, in the order in which they were asked for.
type queue struct {
	patience time.Duration // with a connection that isn't used
	size     int           // connections at most

	mu      sync.Mutex
	free    int     // how many more may be in use, idle ones included
	idle    []*conn // the one used last at the end
	waiting []*place
}

// place is one mail's place in the queue.
type place struct {
	queue *queue
	// near is closed when the mail is sure to be among the next, or has its connection.
	near chan struct{}
	// ready is closed after conn or err has been set.
	ready chan struct{}
	// left is closed by a mail that no longer wants one.
	left chan struct{}
	conn *conn
	err  error

	hurried sync.Once
}

func (p *place) hurry() { p.hurried.Do(func() { close(p.near) }) }

// enter takes a place, which has to be waited for.
func (q *queue) enter() *place {
	p := &place{queue: q, near: make(chan struct{}), ready: make(chan struct{}), left: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		p.conn = q.fresh()
		close(p.ready)
		return p
	}
	q.waiting = append(q.waiting, p)
	q.hurry()
	return p
}

// hurry tells those who are next, one for each connection, to get ready.
func (q *queue) hurry() {
	for _, p := range q.waiting[:min(q.size, len(q.waiting))] {
		p.hurry()
	}
}

// wait gives a connection, or nil and with it the leave to make one. Either is given back by give.
func (p *place) wait(ctx context.Context) (*conn, error) {
	select {
	case <-p.ready:
		return p.conn, p.err
	case <-ctx.Done():
	case <-p.left:
	}
	q := p.queue
	q.mu.Lock()
	at := slices.Index(q.waiting, p)
	if at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
		q.hurry()
	}
	q.mu.Unlock()
	if at < 0 && p.err == nil {
		q.give(p.conn) // it came in the same moment
	}
	return nil, calledOff(ctx, StepConnect)
}

// fresh is the idle connection that was used last, if the server is likely to have it still.
func (q *queue) fresh() *conn {
	for len(q.idle) > 0 {
		c := q.idle[len(q.idle)-1]
		q.idle = q.idle[:len(q.idle)-1]
		if time.Since(c.idle) < q.patience {
			return c
		}
		c.close()
	}
	return nil
}

// give hands a connection straight to whoever has waited longest; nil is the leave to make one.
func (q *queue) give(c *conn) {
	if c != nil && c.unusable {
		c = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		next := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		next.conn = c
		close(next.ready)
		q.hurry()
		return
	}
	q.free++
	if c != nil {
		c.idle = time.Now()
		q.idle = append(q.idle, c)
	}
}

// refuse sends all away who wait.
func (q *queue) refuse(err error) {
	if err == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.waiting {
		p.err = err
		close(p.ready)
	}
	q.waiting = nil
}

// expired takes the connections that nobody has used for long, to be closed and given back.
func (q *queue) expired() (old []*conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle = slices.DeleteFunc(q.idle, func(c *conn) bool {
		if time.Since(c.idle) < q.patience {
			return false
		}
		old = append(old, c)
		q.free--
		return true
	})
	return old
}

// all takes out every idle connection.
func (q *queue) all() []*conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	idle := q.idle
	q.idle = nil
	return idle
}

func (q *queue) count() (busy, idle, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size - q.free, len(q.idle), len(q.waiting)
}
