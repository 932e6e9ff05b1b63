package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A balancer hands requests to those APIs that are in service. It sends none again, each having to succeed,
// but while it is patient: then one that is refused for the moment is sent once more.
type balancer struct {
	mu       sync.Mutex
	patient  bool
	refused  int
	inside   []*client
	accepted map[string]time.Time // jobs
	contacts int
	failed   []error
}

func newBalancer() *balancer { return &balancer{accepted: make(map[string]time.Time)} }

// admit has an API take its share from now on.
func (b *balancer) admit(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside = append(b.inside, c)
}

// dismiss has an API get no more requests. Those under way go on.
func (b *balancer) dismiss(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside = slices.DeleteFunc(b.inside, func(one *client) bool { return one == c })
}

// run sends requests until ctx ends, several at a time, and waits for the answers to the last.
func (b *balancer) run(ctx context.Context) error {
	const atOnce, every = 4, 60 * time.Millisecond
	var group errgroup.Group
	for i := range atOnce {
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(i), 4))
			for n := 0; pause(ctx, atOnce*every) == nil; n++ {
				b.send(context.WithoutCancel(ctx), rng, n)
			}
			return nil
		})
	}
	return group.Wait()
}

// send sends one request: a job, a record that a cache is told of, or a question.
func (b *balancer) send(ctx context.Context, rng *rand.Rand, n int) {
	b.mu.Lock()
	c := b.inside[rng.IntN(len(b.inside))]
	b.mu.Unlock()
	method, path, body, want := http.MethodPost, "/api/jobs", oneJob(rng), http.StatusAccepted
	switch n % 5 {
	case 2:
		path, body, want = "/api/contacts", fmt.Sprintf(`{"name":"Contact %d"}`, rng.Uint32()), http.StatusCreated
	case 3:
		method, path, body, want = http.MethodGet, "/api/contacts?limit=20", "", http.StatusOK
	case 4:
		method, path, body, want = http.MethodGet, "/api/jobs?limit=20", "", http.StatusOK
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := c.call(ctx, method, path, body)
	if err == nil && r.status == http.StatusServiceUnavailable && b.forgives() {
		r, err = c.call(ctx, method, path, body)
	}
	b.note(path, r, err, want)
}

// bePatient begins or ends a time in which requests may be refused for the moment.
func (b *balancer) bePatient(patient bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.patient = patient
}

func (b *balancer) forgives() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.patient {
		b.refused++
	}
	return b.patient
}

func (b *balancer) note(path string, r reply, err error, want int) {
	var j job
	if err == nil && r.status != want {
		err = fmt.Errorf("%d %s", r.status, r.body)
	}
	if err == nil && want == http.StatusAccepted {
		err = r.into(&j)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.failed = append(b.failed, fmt.Errorf("%s: %s: %w", time.Now().Format("15:04:05.000"), path, err))
	case want == http.StatusAccepted:
		b.accepted[j.ID] = time.Now()
	case want == http.StatusCreated:
		b.contacts++
	}
}

// complaints are the first requests that failed.
func (b *balancer) complaints() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d requests failed: %w", len(b.failed), errors.Join(b.failed[:min(len(b.failed), 5)]...))
}
