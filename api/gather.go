package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const (
	// Commits that run at once. Below this a submit is sent as it comes; above, those that meanwhile
	// arrive share a transaction.
	gatherSenders = 4
	// Submits of one transaction.
	gatherMost = 64
)

// gatherer stores submits that arrive at the same time in one transaction. A commit costs Postgres several
// times what the rows of a job cost, so a machine takes more of them together than one by one; a submit
// that comes alone waits for nobody.
type gatherer struct {
	db    *store.DB
	kinds map[string]*Kind

	mu      sync.Mutex
	senders int
	waiting []*gathered
}

// gathered is one submit on its way.
type gathered struct {
	x    *exchange
	jobs []store.Job
	turn chan turn // buffered: whoever tells need not wait
}

// A turn tells a waiting submit how it goes on.
type turn struct {
	lead bool // it sends the next transaction, of which it is the first
	done bool // it was stored, or failed with err
	err  error
}

// store stores the jobs of one request and returns when they are committed.
func (g *gatherer) store(ctx context.Context, x *exchange, jobs []store.Job) error {
	me := &gathered{x: x, jobs: jobs, turn: make(chan turn, 1)}
	if !g.wait(me) {
		return g.lead(ctx, me)
	}
	switch t := <-me.turn; {
	case t.done:
		return t.err
	case t.lead:
		return g.lead(ctx, me)
	}
	return g.send(ctx, []*gathered{me})
}

// wait queues the submit if enough are being sent, else it takes a sender's place.
func (g *gatherer) wait(me *gathered) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.senders < gatherSenders {
		g.senders++
		return false
	}
	g.waiting = append(g.waiting, me)
	return true
}

var errNotStored = errors.New("the transaction was not carried through")

// lead sends what waits together with the leader's own, and hands its place to the next.
func (g *gatherer) lead(ctx context.Context, me *gathered) error {
	g.mu.Lock()
	n := min(len(g.waiting), gatherMost-1)
	others := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.mu.Unlock()

	outcome := turn{done: true, err: errNotStored}
	// Deferred, so that nobody waits for ever for a leader that panicked.
	defer func() {
		for _, other := range others {
			other.turn <- outcome
		}
		g.handOver()
	}()
	err := g.send(ctx, append([]*gathered{me}, others...))
	outcome.err = err
	if err == nil || n == 0 || unavailable(err) {
		return err
	}
	// One of them can't be stored, and took the others with it: each for itself.
	outcome = turn{}
	return g.send(ctx, []*gathered{me})
}

// handOver gives the place to the submit that has waited longest.
func (g *gatherer) handOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.senders--
		return
	}
	next := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	next.turn <- turn{lead: true}
}

// send is one transaction and one round trip. Each row is written as its own organization.
func (g *gatherer) send(ctx context.Context, together []*gathered) error {
	var b *pgx.Batch
	acting := ""
	for _, one := range together {
		if organizationID := one.x.caller.OrganizationID; b == nil {
			b, acting = store.BatchAs(organizationID), organizationID
		} else if organizationID != acting {
			store.QueueActAs(b, organizationID)
			acting = organizationID
		}
		if err := queueJobs(b, one.x, g.kinds, one.jobs); err != nil {
			return err
		}
	}
	return g.db.Send(ctx, b)
}
