package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// cleanUpArgs are the arguments of maintenance.cleanup.
type cleanUpArgs struct{}

// Kind implements river.JobArgs.
func (cleanUpArgs) Kind() string { return "maintenance.cleanup" }

var cleanUpSpec = Spec{
	Queue: Maintenance, Timeout: 30 * time.Minute, MaxAttempts: 3, Backoff: exponential(time.Minute, 10*time.Minute),
	Cron: "25 * * * *",
}

// cleanUp deletes what has outlived its use: answers kept for repeated requests (a day), events of ended
// jobs (an hour), ended jobs, their effects, attempts, calls and mails (90 days), attempts of
// jobs that no client asked for (30 days), keys that ended long ago (90 days), the usage
// of models by hours (25 months, so that there is a year to compare the last one with), suppressions that expired
// (30 days), webhooks' deliveries that ended, and what nothing is left of but them (30 days). Calls whose process died
// become lost ones, after twice the time that an attempt may take.
type cleanUp struct{ db *store.DB }

// Run implements Chore.
func (w cleanUp) Run(ctx context.Context, _ cleanUpArgs) error {
	return w.db.CleanUp(ctx, store.Retention{
		IdempotencyKeys: 24 * time.Hour,
		JobEvents:       time.Hour,
		Jobs:            90 * 24 * time.Hour,
		APIKeys:         90 * 24 * time.Hour,
		BegunCalls:      2 * aiTimeout,
		UsageHours:      762 * 24 * time.Hour,
		Suppressions:    30 * 24 * time.Hour,
		InternalJobs:    30 * 24 * time.Hour,
		Webhooks:        30 * 24 * time.Hour,
	})
}
