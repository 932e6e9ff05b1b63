package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// partitionOutboxArgs are the arguments of outbox.partition.
type partitionOutboxArgs struct{}

// Kind implements river.JobArgs.
func (partitionOutboxArgs) Kind() string { return "outbox.partition" }

// Twice a day, a week ahead: a worker that is away for days leaves no day without its partition.
var partitionOutboxSpec = Spec{
	Queue: Maintenance, Timeout: 5 * time.Minute, MaxAttempts: 5, Backoff: exponential(10*time.Second, 10*time.Minute),
	Cron: "10 */12 * * *",
}

// partitionOutbox makes the outbox's days ahead and drops those that are a week old and routed.
type partitionOutbox struct{ db *store.DB }

// Run implements Chore.
func (w partitionOutbox) Run(ctx context.Context, _ partitionOutboxArgs) error {
	return outbox.Partition(ctx, w.db.Pool())
}
