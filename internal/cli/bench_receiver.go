package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A benchReceiver takes every webhook and does nothing with it. It shares the machine with what is measured, so it does as
// little as it can.
type benchReceiver struct {
	address netip.AddrPort
	server  *http.Server
	served  chan struct{}

	mu   sync.Mutex
	last string // id of the event that came last
	at   time.Time
	more chan struct{} // receives when one has come
}

func newBenchReceiver() (*benchReceiver, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	r := &benchReceiver{address: l.Addr().(*net.TCPAddr).AddrPort(), served: make(chan struct{}), more: make(chan struct{}, 1)}
	r.server = &http.Server{Handler: r}
	go func() {
		defer close(r.served)
		_ = r.server.Serve(l)
	}()
	return r, nil
}

func (r *benchReceiver) close() {
	_ = r.server.Close()
	<-r.served
}

// ServeHTTP implements http.Handler.
func (r *benchReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := time.Now()
	_, _ = io.Copy(io.Discard, req.Body)
	r.mu.Lock()
	r.last, r.at = req.Header.Get("webhook-id"), at
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}

// await waits for an event, where no other is under way, and gives when it came.
func (r *benchReceiver) await(ctx context.Context, id string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		last, at := r.last, r.at
		r.mu.Unlock()
		if last == id {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return at, fmt.Errorf("event %s does not come: %w", id, ctx.Err())
		case <-r.more:
		}
	}
}
