package jobs

import (
	"context"
	"time"
)

// Forgetter makes all void that is cached, of all organizations and for all processes.
type Forgetter interface {
	Forget(ctx context.Context) error
}

// forgetCacheArgs are the arguments of cache.forget.
type forgetCacheArgs struct{}

// Kind implements river.JobArgs.
func (forgetCacheArgs) Kind() string { return ForgetCache }

// ForgetCache is the kind that makes the whole cache void. A restore leaves it behind, for whoever restored may not
// reach the cache; nothing else starts it.
const ForgetCache = "cache.forget"

var forgetCacheSpec = Spec{
	Queue: Cache, Timeout: 5 * time.Minute, MaxAttempts: 25, Backoff: exponential(time.Second, time.Minute),
}

// forgetCache makes the whole cache void.
type forgetCache struct{ cache Forgetter }

// Run implements Chore.
func (w forgetCache) Run(ctx context.Context, _ forgetCacheArgs) error {
	if w.cache == nil {
		return nil // nothing is cached
	}
	return w.cache.Forget(ctx)
}
