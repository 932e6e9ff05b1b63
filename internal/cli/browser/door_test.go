package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/jobs"
)

// doorQueue is the queue of bench.noop.
var doorQueue = jobs.Queue{Name: "bench", Workers: 20, Share: 1 << 30}

// doorArgs are the arguments of browser.door, which fails as long as a door is closed.
type doorArgs struct{ jobs.Request }

// Kind implements river.JobArgs.
func (doorArgs) Kind() string { return "browser.door" }

type door struct{}

// Run implements jobs.Work.
func (door) Run(ctx context.Context, _ doorArgs, t *jobs.Task) (jobs.Result, error) {
	var in struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return jobs.Result{}, fmt.Errorf("read the input: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
	if err != nil {
		return jobs.Result{}, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return jobs.Result{}, err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return jobs.Result{}, &jobs.Failure{Code: "door_closed", Title: "The door is closed", Detail: "nobody opened the blue door"}
	}
	return jobs.Result{}, nil
}

func doorJobs(d jobs.Deps) []jobs.Job {
	return []jobs.Job{jobs.Requested(d, door{}, jobs.Spec{Queue: doorQueue, Timeout: time.Minute, MaxAttempts: 3, Scope: "jobs",
		Backoff: func(int) time.Duration { return time.Second }, Check: func(json.RawMessage) []jobs.Fault { return nil }})}
}

// A gate is a door that a test opens.
type gate struct {
	url  string
	open atomic.Bool
}

func newGate(t *testing.T) *gate {
	g := &gate{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !g.open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}
