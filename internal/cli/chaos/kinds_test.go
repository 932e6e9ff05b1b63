package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// chaosQueue is the queue of bench.noop, which every worker of these tests works.
var chaosQueue = jobs.Queue{Name: "bench", Workers: 100, Share: 1 << 30}

// chaosJobs are kinds that take as long as a test wants.
func chaosJobs(d jobs.Deps) []jobs.Job {
	spec := jobs.Spec{
		Queue: chaosQueue, Timeout: time.Minute, MaxAttempts: 25, Scope: "jobs",
		Backoff: func(int) time.Duration { return time.Second },
		Check:   func(json.RawMessage) []jobs.Fault { return nil },
	}
	return []jobs.Job{jobs.Requested(d, linger{}, spec), jobs.Requested(d, visit{}, spec)}
}

// lingerArgs are the arguments of chaos.linger, which takes a while and records one effect.
type lingerArgs struct{ jobs.Request }

// Kind implements river.JobArgs.
func (lingerArgs) Kind() string { return "chaos.linger" }

type linger struct{}

// Run implements jobs.Work.
func (linger) Run(ctx context.Context, _ lingerArgs, t *jobs.Task) (jobs.Result, error) {
	var in struct {
		MS int `json:"ms"`
	}
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return jobs.Result{}, fmt.Errorf("read the input: %w", err)
	}
	if err := pause(ctx, time.Duration(in.MS)*time.Millisecond); err != nil {
		return jobs.Result{}, err
	}
	return jobs.Result{Effects: []store.Effect{{Key: "linger", State: "done", Attempt: t.Attempt}}}, nil
}

// visitArgs are the arguments of chaos.visit, which asks an address and ends when that answers.
type visitArgs struct{ jobs.Request }

// Kind implements river.JobArgs.
func (visitArgs) Kind() string { return "chaos.visit" }

type visit struct{}

// Run implements jobs.Work. The host sees the visit begin, and its connection end with the work.
func (visit) Run(ctx context.Context, _ visitArgs, t *jobs.Task) (jobs.Result, error) {
	var in struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return jobs.Result{}, fmt.Errorf("read the input: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
	if err != nil {
		return jobs.Result{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return jobs.Result{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return jobs.Result{}, err
	}
	return jobs.Result{Effects: []store.Effect{{Key: "visit", State: "done", Attempt: t.Attempt}}}, nil
}
