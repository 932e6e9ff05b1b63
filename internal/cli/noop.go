package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// noopArgs are the arguments of bench.noop, a kind that does nothing. It exists only where a bench or a
// fault test adds it.
type noopArgs struct{ jobs.Request }

// Kind implements river.JobArgs.
func (noopArgs) Kind() string { return "bench.noop" }

// benchQueue has room for everything: the share of an organization is not what is measured.
var benchQueue = jobs.Queue{Name: "bench", Workers: 100, Share: 1 << 30}

// noop does nothing, or records one effect.
type noop struct{}

// Run implements jobs.Work.
func (noop) Run(_ context.Context, _ noopArgs, t *jobs.Task) (jobs.Result, error) {
	var in struct {
		Effect bool `json:"effect"`
	}
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return jobs.Result{}, fmt.Errorf("read the input: %w", err)
	}
	if !in.Effect {
		return jobs.Result{}, nil
	}
	return jobs.Result{Effects: []store.Effect{{Key: "noop", State: "done", Attempt: t.Attempt}}}, nil
}

// WithNoop adds the kind bench.noop.
func WithNoop() Option {
	return WithJobs(func(d jobs.Deps) []jobs.Job {
		return []jobs.Job{jobs.Requested(d, noop{}, jobs.Spec{
			Queue: benchQueue, Timeout: time.Minute, MaxAttempts: 25, Scope: "jobs",
			Backoff: func(int) time.Duration { return time.Second },
			Check:   func(json.RawMessage) []jobs.Fault { return nil },
		})}
	})
}
