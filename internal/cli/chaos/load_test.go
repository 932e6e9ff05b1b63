package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// batchSize is how many jobs one in ten requests hands over at once.
const batchSize = 5

// clientsAtOnce is how many clients submit at the same time.
const clientsAtOnce = 8

// A load submits jobs the way a careful client does: with a key for each request, again with the same
// key until it is accepted.
type load struct {
	clients []*client // of one organization, one for each API process
	seed    uint64

	mu       sync.Mutex
	accepted map[string]time.Time // by job
	repeats  map[string]int       // requests that were sent again, by cause
	replayed int
	longest  time.Duration // between the first try of a request and its 202
}

func newLoad(seed uint64, clients ...*client) *load {
	return &load{clients: clients, seed: seed, accepted: make(map[string]time.Time), repeats: make(map[string]int)}
}

// request is one that has to be accepted.
type request struct {
	key, path, body string
	jobs            int
}

// requests are as many as make n jobs.
func (l *load) requests(n int) []request {
	rng := rand.New(rand.NewPCG(l.seed, 1))
	var list []request
	for left := n; left > 0; {
		r := request{key: fmt.Sprintf("chaos-%d-%d", l.seed, len(list)), path: "/api/jobs", body: oneJob(rng), jobs: 1}
		if len(list)%10 == 9 && left >= batchSize {
			bodies := make([]string, batchSize)
			for i := range bodies {
				bodies[i] = oneJob(rng)
			}
			r.path, r.body, r.jobs = "/api/jobs/batch", `{"jobs":[`+strings.Join(bodies, ",")+`]}`, batchSize
		}
		list = append(list, r)
		left -= r.jobs
	}
	return list
}

// oneJob is quick or takes a while, so that kills find jobs in every state.
func oneJob(rng *rand.Rand) string {
	if rng.IntN(3) > 0 {
		return `{"kind":"bench.noop","input":{"effect":true}}`
	}
	return fmt.Sprintf(`{"kind":"chaos.linger","input":{"ms":%d}}`, 20+rng.IntN(400))
}

// run submits n jobs, spread over a time.
func (l *load) run(ctx context.Context, n int, over time.Duration) error {
	list := l.requests(n)
	work := make(chan request)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(work)
		for _, r := range list {
			select {
			case work <- r:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := pause(ctx, over/time.Duration(len(list))); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range clientsAtOnce {
		group.Go(func() error {
			for r := range work {
				if err := l.insist(ctx, r, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// patience bounds one try: a client that waits longer than that asks again.
const patience = 5 * time.Second

// insist sends a request until it is accepted, each time to another API process.
func (l *load) insist(ctx context.Context, r request, first int) error {
	began := time.Now()
	for try := first; ; try++ {
		once, cancel := context.WithTimeout(ctx, patience)
		answer, err := l.clients[try%len(l.clients)].call(once, http.MethodPost, r.path, r.body, "Idempotency-Key", r.key)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("request %s was not accepted in time; the last answer: %d %s %w", r.key, answer.status, answer.body, err)
		}
		if err == nil && answer.status == http.StatusAccepted {
			return l.note(r, answer, time.Since(began))
		}
		cause, err := repeatable(answer, err)
		if err != nil {
			return fmt.Errorf("request %s: %w", r.key, err)
		}
		l.mu.Lock()
		l.repeats[cause]++
		l.mu.Unlock()
		if err := pause(ctx, 150*time.Millisecond); err != nil {
			return err
		}
	}
}

// repeatable says why a request is to be sent again, or that its answer is none that a fault excuses.
func repeatable(r reply, err error) (cause string, final error) {
	switch {
	case err != nil:
		return "no answer", nil
	case r.status == http.StatusConflict || r.status == http.StatusTooManyRequests || r.status >= 500:
		return fmt.Sprint(r.status), nil
	}
	return "", fmt.Errorf("refused: %d %s", r.status, r.body)
}

func (l *load) note(r request, answer reply, took time.Duration) error {
	var one job
	var many struct {
		Data []job `json:"data"`
	}
	if err := answer.into(&many); err != nil {
		return err
	}
	if r.jobs == 1 {
		if err := answer.into(&one); err != nil {
			return err
		}
		many.Data = []job{one}
	}
	if len(many.Data) != r.jobs {
		return fmt.Errorf("request %s asked for %d jobs and got %s", r.key, r.jobs, answer.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range many.Data {
		if _, twice := l.accepted[j.ID]; twice || j.ID == "" {
			return fmt.Errorf("job %q was the answer to two requests", j.ID)
		}
		l.accepted[j.ID] = time.Now()
	}
	if answer.header.Get("Idempotency-Replayed") == "true" {
		l.replayed++
	}
	l.longest = max(l.longest, took)
	return nil
}
