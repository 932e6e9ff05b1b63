package jobs

import (
	"context"

	"github.com/payaid/payaid/internal/store"
)

// A starting is a job that a worker wants to take.
type starting struct {
	start store.Start
	job   store.Job // as it was taken
}

// startTogether takes jobs that were fetched at the same time, in one round trip. Each is taken or not
// by itself.
func startTogether(ctx context.Context, d Deps, list []*starting) []error {
	starts := make([]store.Start, len(list))
	for i, s := range list {
		starts[i] = s.start
	}
	jobs, errs := store.StartJobs(ctx, d.Relaxed, starts)
	for i := range list {
		list[i].job = jobs[i]
	}
	return errs
}
