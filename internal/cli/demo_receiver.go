package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/webhook"
)

// A demoReceiver is the server of somebody who is told of what happens. It takes what is signed as it should be, and
// remembers it.
type demoReceiver struct {
	address netip.AddrPort
	server  *http.Server
	served  chan struct{}

	mu      sync.Mutex
	secrets map[string]string      // by path
	heard   map[string][]demoHeard // by path
	refused error                  // the first that was not taken
	changed chan struct{}          // closed when more was heard
}

// demoHeard is an event that was taken.
type demoHeard struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
}

// What the receiver has, and where.
const (
	demoHooksPath     = "/webhooks"
	demoCallbacksPath = "/callbacks"
)

// openDemoReceiver listens on this machine alone.
func openDemoReceiver() (*demoReceiver, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the demo's webhooks: %w", err)
	}
	r := &demoReceiver{address: l.Addr().(*net.TCPAddr).AddrPort(), served: make(chan struct{}), secrets: make(map[string]string),
		heard: make(map[string][]demoHeard), changed: make(chan struct{})}
	r.server = &http.Server{Handler: r, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go func() {
		defer close(r.served)
		_ = r.server.Serve(l)
	}()
	return r, nil
}

// close ends the receiver; one that was never opened has nothing to end.
func (r *demoReceiver) close() {
	if r == nil {
		return
	}
	_ = r.server.Close()
	<-r.served
}

func (r *demoReceiver) url(path string) string { return "http://" + r.address.String() + path }

// trust names the secret that what comes to a path is signed with.
func (r *demoReceiver) trust(path, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[path] = secret
}

// ServeHTTP implements http.Handler.
func (r *demoReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	event, err := r.read(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.refused == nil {
			r.refused = err
		}
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	// The same may come again; it is the same by its id.
	if !slices.Contains(r.heard[req.URL.Path], event) {
		r.heard[req.URL.Path] = append(r.heard[req.URL.Path], event)
	}
	close(r.changed)
	r.changed = make(chan struct{})
	w.WriteHeader(http.StatusNoContent)
}

func (r *demoReceiver) read(req *http.Request) (event demoHeard, err error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 2<<20))
	if err != nil {
		return event, err
	}
	r.mu.Lock()
	secret := r.secrets[req.URL.Path]
	r.mu.Unlock()
	if err := verifyHook(secret, req.Header, body, time.Now()); err != nil {
		return event, err
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return event, err
	}
	if event.ID != req.Header.Get("webhook-id") {
		return event, errors.New("a delivery has another id than its event")
	}
	return event, nil
}

// verifyHook reports why a request isn't one that the owner of a secret has signed, within the last five minutes.
func verifyHook(secret string, h http.Header, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return errors.New("a delivery doesn't say when it was sent")
	}
	at := time.Unix(seconds, 0)
	if now.Sub(at).Abs() > 5*time.Minute {
		return errors.New("a delivery is signed for another time")
	}
	want, err := webhook.Sign([]string{secret}, h.Get("webhook-id"), at, body)
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
		return errors.New("the signature of a delivery is wrong")
	}
	return nil
}

// news is what came to a path so far, and a channel that is closed when there is more.
func (r *demoReceiver) news(path string) ([]demoHeard, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard[path]), r.changed, r.refused
}
