package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A behaviour answers a request whose body has been read, and tells with which status; 0: with none.
type behaviour func(http.ResponseWriter, *http.Request) int

// answers gives each request the same status.
func answersWith(status int) behaviour {
	return func(w http.ResponseWriter, _ *http.Request) int {
		w.WriteHeader(status)
		return status
	}
}

// slowly takes its time before it answers as another does.
func slowly(d time.Duration, then behaviour) behaviour {
	return func(w http.ResponseWriter, r *http.Request) int {
		if pause(r.Context(), d) != nil {
			return 0
		}
		return then(w, r)
	}
}

// hangs never answers.
func hangs(_ http.ResponseWriter, r *http.Request) int {
	<-r.Context().Done()
	return 0
}

// A delivery is a request that came to a receiver.
type delivery struct {
	id, kind string // of the event
	at       time.Time
	status   int // of the answer, 0: none
}

// A receiver is the server of somebody who subscribes. It notes every request, and answers as it is told.
type receiver struct {
	name    string
	address string

	mu       sync.Mutex
	server   *http.Server
	served   chan struct{}
	behave   behaviour
	judge    *standardwebhooks.Webhook // nil: its secret isn't known yet
	requests []delivery
	bodies   map[string]string    // by event, of the first request
	accepted map[string]time.Time // when an event was first answered with 2xx
	wrong    []error              // what no sender may do
}

// newReceiver starts a receiver at an address of its own.
func newReceiver(t *testing.T, name string, b behaviour) *receiver {
	t.Helper()
	r := &receiver{name: name, address: freeAddress(t), behave: b, bodies: make(map[string]string), accepted: make(map[string]time.Time)}
	r.start(t)
	t.Cleanup(r.stop)
	return r
}

func (r *receiver) url() string { return "http://" + r.address + "/hooks/" + r.name }

// start listens; a receiver that was stopped is there again.
func (r *receiver) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", r.address)
	must(t, "listen", err)
	server, served := &http.Server{Handler: r}, make(chan struct{})
	r.mu.Lock()
	r.server, r.served = server, served
	r.mu.Unlock()
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
}

// stop takes the receiver away: who connects is refused.
func (r *receiver) stop() {
	r.mu.Lock()
	server, served := r.server, r.served
	r.mu.Unlock()
	_ = server.Close()
	<-served
}

// turns changes how the receiver answers from now on.
func (r *receiver) turns(b behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behave = b
}

// trusts is the secret that signatures are verified with from now on.
func (r *receiver) trusts(t *testing.T, secret string) {
	t.Helper()
	judge, err := standardwebhooks.NewWebhook(secret)
	must(t, "read a secret", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge = judge
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	d := delivery{id: req.Header.Get("webhook-id"), kind: req.Header.Get("X-PayAid-Event"), at: time.Now()}
	if err != nil {
		return // whoever sent it has died
	}
	r.mu.Lock()
	i := len(r.requests)
	r.requests = append(r.requests, d)
	r.look(d, req.Header, body)
	behave := r.behave
	r.mu.Unlock()
	status := behave(w, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[i].status = status
	if _, again := r.accepted[d.id]; !again && status >= 200 && status <= 299 {
		r.accepted[d.id] = d.at
	}
}

// look holds a request against what is promised.
func (r *receiver) look(d delivery, h http.Header, body []byte) {
	if r.judge != nil {
		if err := r.judge.Verify(body, h); err != nil {
			r.wrong = append(r.wrong, fmt.Errorf("event %s: %w", d.id, err))
		}
	}
	first, again := r.bodies[d.id]
	if !again {
		r.bodies[d.id] = string(body)
	} else if first != string(body) {
		r.wrong = append(r.wrong, fmt.Errorf("event %s came first as %s and then as %s", d.id, first, body))
	}
}

// has is how many events the receiver accepted, and when the last of them came.
func (r *receiver) has() (n int, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.accepted {
		if at.After(last) {
			last = at
		}
	}
	return len(r.accepted), last
}

// all is every request so far.
func (r *receiver) all() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.requests...)
}

// lacks says which of some events the receiver has not accepted, and what was wrong with those that came.
func (r *receiver) lacks(events []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	faults := r.wrong[:min(len(r.wrong), 5):min(len(r.wrong), 5)]
	missing := 0
	for _, id := range events {
		if _, ok := r.accepted[id]; !ok {
			missing++
		}
	}
	if missing > 0 {
		faults = append(faults, fmt.Errorf("%d of %d events are missing", missing, len(events)))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("receiver %s: %w", r.name, err)
	}
	return nil
}

// gets waits until a receiver has accepted n events.
func (r *receiver) gets(ctx context.Context, n int) error {
	return eventually(ctx, func(context.Context) error {
		if got, _ := r.has(); got < n {
			return fmt.Errorf("receiver %s has %d of %d events", r.name, got, n)
		}
		return nil
	})
}

// A subscription is an endpoint as the API shows it.
type subscription struct {
	ID             string `json:"id"`
	Secret         string `json:"secret"`
	Status         string `json:"status"`
	DisabledCode   string `json:"disabled_code"`
	DisabledReason string `json:"disabled_reason"`
}

// subscribe registers a receiver with an organization, for some types of events.
func (c *client) subscribe(t *testing.T, r *receiver, events string) subscription {
	t.Helper()
	var s subscription
	answer, err := c.call(within(t, 20*time.Second), http.MethodPost, "/api/webhooks", `{"url":"`+r.url()+`","events":[`+events+`]}`)
	if err == nil && answer.status != http.StatusCreated {
		err = fmt.Errorf("%d %s", answer.status, answer.body)
	}
	if err == nil {
		err = answer.into(&s)
	}
	must(t, "subscribe "+r.name, err)
	r.trusts(t, s.Secret)
	return s
}
