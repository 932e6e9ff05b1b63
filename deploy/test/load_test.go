//go:build deploytest

package deploytest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A load submits jobs steadily, while all kinds of things happen, and remembers what was accepted.
type load struct {
	api  *client
	name string

	mu       sync.Mutex
	accepted map[string]string // kinds by id
	mails    []string          // subjects, one for each mail
	failed   int               // requests without a good answer
	longest  time.Duration     // until a request was accepted at last
	next     atomic.Int64
}

func newLoad(api *client, name string) *load {
	return &load{api: api, name: name, accepted: make(map[string]string)}
}

// kinds are submitted in turn. Each job's end is told to the test, which is work of the queue webhook.
var kinds = []string{"ai.completion", "mail.send"}

// one submits a job of a kind, until it is accepted.
func (l *load) one(ctx context.Context, kind string) (job, error) {
	name := fmt.Sprintf("%s-%d", l.name, l.next.Add(1))
	began := time.Now()
	j, failed, err := l.api.submit(ctx, name, body(kind, name))
	if err != nil {
		return j, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[j.ID] = kind
	l.failed += failed
	l.longest = max(l.longest, time.Since(began))
	if kind == "mail.send" {
		l.mails = append(l.mails, name)
	}
	return j, nil
}

// body is a job whose answer nobody has asked for before, so that no cache has it.
func body(kind, name string) string {
	input := fmt.Sprintf(`{"prompt":"Thank a customer for paying invoice %s."}`, name)
	if kind == "mail.send" {
		input = fmt.Sprintf(`{"to":["reader@elsewhere.example"],"subject":"deploytest %s","text":"Hello."}`, name)
	}
	return fmt.Sprintf(`{"kind":%q,"input":%s,"callback_url":%q}`, kind, input, callbacks.url)
}

// run submits a job every so often until ctx ends; what is in flight then is accepted all the same.
func (l *load) run(ctx context.Context, every time.Duration) error {
	var group sync.WaitGroup
	var first atomic.Pointer[error]
	defer group.Wait()
	for i := 0; pause(ctx, every) == nil; i++ {
		group.Go(func() {
			insist, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
			defer cancel()
			if _, err := l.one(insist, kinds[i%len(kinds)]); err != nil {
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	group.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

// A hammer asks without ever asking again, and counts what wasn't answered well.
type hammer struct {
	api    *client
	failed []string
	asked  int
}

// run reads and writes in turn until ctx ends.
func (h *hammer) run(ctx context.Context, every time.Duration) {
	for i := 0; pause(ctx, every) == nil; i++ {
		h.asked++
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		var err error
		if i%2 == 0 {
			err = h.api.want(once, http.StatusOK, http.MethodGet, "/api/contacts?limit=5", "", nil)
		} else {
			err = h.api.want(once, http.StatusCreated, http.MethodPost, "/api/contacts", fmt.Sprintf(`{"name":"Hammer %d"}`, i), nil)
		}
		cancel()
		if err != nil {
			h.failed = append(h.failed, time.Now().UTC().Format(time.TimeOnly)+" "+err.Error())
		}
	}
}
