// Package hint tells other processes that something changed, over core NATS. Hints may be lost: whoever
// waits for one also looks by itself now and then. They carry ids and no data.
package hint

import (
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	outboxSubject = "payaid.hint.outbox"
	jobPrefix     = "payaid.hint.job."
	anyJob        = "*" // no id
)

// Hints sends and receives hints on one connection.
type Hints struct {
	nc *nats.Conn

	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{} // by job id; of anyJob: whatever job it is
	jobs    *nats.Subscription
}

// New uses a connection; it subscribes when somebody first listens.
func New(nc *nats.Conn) *Hints {
	return &Hints{nc: nc, waiting: make(map[string]map[chan struct{}]struct{})}
}

// OutboxChanged says that a transaction with facts has committed.
func (h *Hints) OutboxChanged() { _ = h.nc.Publish(outboxSubject, nil) }

// JobChanged says that a job, or what is told of it, has changed.
func (h *Hints) JobChanged(id string) { _ = h.nc.Publish(jobPrefix+id, nil) }

// Outbox gives a channel that receives when facts have been committed since the last receive.
func (h *Hints) Outbox() (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	_, err := h.nc.Subscribe(outboxSubject, func(*nats.Msg) { poke(changed) })
	if err != nil {
		return nil, fmt.Errorf("listen for hints: %w", err)
	}
	return changed, nil
}

// Job gives a channel that receives when the job has changed since the last receive, until stop.
func (h *Hints) Job(id string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		// A failed subscription is tried again by the next listener; this one polls.
		h.jobs, _ = h.nc.Subscribe(jobPrefix+"*", h.deliver)
	}
	if h.waiting[id] == nil {
		h.waiting[id] = make(map[chan struct{}]struct{})
	}
	h.waiting[id][ch] = struct{}{}
	return ch, func() { h.forget(id, ch) }
}

// Jobs gives a channel that receives when any job has changed since the last receive, until stop.
func (h *Hints) Jobs() (changed <-chan struct{}, stop func()) { return h.Job(anyJob) }

func (h *Hints) forget(id string, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting[id], ch)
	if len(h.waiting[id]) == 0 {
		delete(h.waiting, id)
	}
}

func (h *Hints) deliver(m *nats.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.waiting[strings.TrimPrefix(m.Subject, jobPrefix)] {
		poke(ch)
	}
	for ch := range h.waiting[anyJob] {
		poke(ch)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
