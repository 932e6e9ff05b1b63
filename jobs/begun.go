package jobs

import (
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// Began notes a call of a provider that is about to be made, so that it is known of whatever becomes of this
// process. It goes with the next events, and keeps the call from nothing.
func (f *Follow) Began(a inference.Attempt, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = append(f.begun, store.BegunCall{
		ID: a.ID, Attempt: f.job.Attempt, Kind: f.job.Kind, Provider: a.Provider, Model: modelOf(a), FallbackReason: reason,
		StartedAt: a.StartedAt.Add(a.Queue),
	})
	f.poke()
}

// settle takes away the notes of this attempt's calls, whose records come before it, and writes down what
// attempts before this one have left; nil where there is nothing to do. The follow is closed.
func (f *Follow) settle() func(*pgx.Batch) {
	if f.dirty == nil || len(f.noted) == 0 && f.job.Lease == 1 {
		return nil
	}
	hold, own := f.hold, f.noted
	return func(b *pgx.Batch) { store.QueueSettleCalls(b, hold, own) }
}
