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

	mu      sync.Mutex
	free    int     // how many more may be in use, idle ones included
	idle    []*conn // the one used last at the end
	waiting []*waiter
}

// waiter is one mail that waits. ready is closed after the other fields have been set.
type waiter struct {
	ready chan struct{}
	conn  *conn
	err   error
}

// take gives a connection, or nil and with it the leave to make one. Either is given back by give.
func (q *queue) take(ctx context.Context) (*conn, error) {
	q.mu.Lock()
	if q.free > 0 {
		defer q.mu.Unlock()
		q.free--
		return q.fresh(), nil
	}
	w := &waiter{ready: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case <-w.ready:
		return w.conn, w.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	at := slices.Index(q.waiting, w)
	if at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
	}
	q.mu.Unlock()
	if at < 0 && w.err == nil {
		q.give(w.conn) // it came in the same moment
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
		w := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		w.conn = c
		close(w.ready)
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
	for _, w := range q.waiting {
		w.err = err
		close(w.ready)
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

func (q *queue) count(connections int) (busy, idle, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return connections - q.free, len(q.idle), len(q.waiting)
}
