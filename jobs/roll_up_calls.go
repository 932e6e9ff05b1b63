package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// rollUpCallsArgs are the arguments of ai.roll_up.
type rollUpCallsArgs struct{}

// Kind implements river.JobArgs.
func (rollUpCallsArgs) Kind() string { return "ai.roll_up" }

var rollUpCallsSpec = Spec{
	Queue: Maintenance, Timeout: 10 * time.Minute, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/5 * * * *",
}

// callsSettled is longer than a transaction that records calls may take, many times.
const callsSettled = 5 * time.Minute

// rollUpCalls adds up the calls of models by the hour, for who wants to know what they came to. After an outage
// it makes up for all of it.
type rollUpCalls struct{ db *store.DB }

// Run implements Chore.
func (w rollUpCalls) Run(ctx context.Context, _ rollUpCallsArgs) error {
	return w.db.RollUpCalls(ctx, callsSettled)
}
