package chaos

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A gate is what jobs of the kind chaos.visit visit: it sees them come, and holds them until it opens.
type gate struct {
	url     string
	arrived chan struct{} // one for each visit
	left    chan struct{} // one for each visitor that was gone before the gate opened
	opened  chan struct{}
	once    sync.Once
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{arrived: make(chan struct{}, 1000), left: make(chan struct{}, 1000), opened: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		g.arrived <- struct{}{}
		select {
		case <-g.opened:
		case <-r.Context().Done():
			g.left <- struct{}{}
		}
	}))
	g.url = server.URL
	t.Cleanup(func() {
		g.open()
		server.Close()
	})
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

func (g *gate) input() string { return `{"url":"` + g.url + `"}` }

// visits waits for n visitors.
func (g *gate) visits(ctx context.Context, n int) error { return receive(ctx, g.arrived, n) }

// leaves waits until n visitors are gone.
func (g *gate) leaves(ctx context.Context, n int) error { return receive(ctx, g.left, n) }

func receive(ctx context.Context, from <-chan struct{}, n int) error {
	for i := range n {
		select {
		case <-from:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d: %w", i, n, ctx.Err())
		}
	}
	return nil
}

// must ends the test on an error.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// took says how long something took, and fails the test above a limit.
func took(t *testing.T, what string, since time.Time, most time.Duration) {
	t.Helper()
	d := time.Since(since)
	t.Logf("%s after %s", what, d.Round(time.Millisecond))
	if d > most {
		t.Errorf("%s after %s, want %s at most", what, d, most)
	}
}
