package jobs

import (
	"context"
	"sync"

	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

const (
	// Below this many at a time each is sent as it comes; what comes meanwhile goes together.
	gatherSenders = 2
	gatherMost    = 64
)

// A gather sends what comes at the same time together. A commit costs Postgres more than the rows of a
// small job do; work that comes alone waits for nobody.
type gather[T any] struct {
	// send handles some items and gives each its error.
	send func(context.Context, []T) []error

	mu      sync.Mutex
	waiting []gathered[T]
	senders int
}

type gathered[T any] struct {
	item    T
	purpose *telemetry.Purpose
	step    trace.Span
	done    chan error
}

// do returns when the item has been sent. The sending bounds itself and goes on when ctx ends, as it
// serves others too.
func (g *gather[T]) do(ctx context.Context, item T) error {
	one := gathered[T]{item: item, purpose: telemetry.PurposeOf(ctx), step: trace.Of(ctx), done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, one)
	begin := g.senders < gatherSenders
	if begin {
		g.senders++
	}
	g.mu.Unlock()
	if begin {
		go g.drain(context.WithoutCancel(ctx))
	}
	return <-one.done
}

// drain sends until nothing waits. Everyone whom it serves waits for it.
func (g *gather[T]) drain(ctx context.Context) {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), gatherMost)
		if n == 0 {
			g.senders--
			g.mu.Unlock()
			return
		}
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		g.mu.Unlock()
		g.serve(ctx, batch)
	}
}

func (g *gather[T]) serve(ctx context.Context, batch []gathered[T]) {
	// Of several one is named: it shows where they come from.
	ctx = telemetry.For(batch[0].step.In(ctx), batch[0].purpose)
	items := make([]T, len(batch))
	for i, one := range batch {
		items[i] = one.item
	}
	for i, err := range g.send(ctx, items) {
		batch[i].done <- err
	}
}
