package jobs

import (
	"context"
	"errors"

	"github.com/payaid/payaid/internal/store"
)

// A starting is a job that a worker wants to take.
type starting struct {
	start store.Start
	job   store.Job // as it was taken
}

// startTogether takes jobs that were fetched at the same time, in one durable round trip: River's fetch
// may reach the disk without us, and a start that a crash of Postgres took back would leave a worker with
// a job that its own row doesn't know it has. If one of them makes the others fail, each is taken by
// itself.
func startTogether(ctx context.Context, d Deps, list []*starting) []error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	starts := make([]store.Start, len(list))
	for i, s := range list {
		starts[i] = s.start
	}
	jobs, errs := store.StartJobs(ctx, d.DB, starts)
	for i := range list {
		if len(list) > 1 && errs[i] != nil && !errors.Is(errs[i], store.ErrConflict) {
			errs[i] = startTogether(ctx, d, list[i:i+1])[0]
			continue
		}
		list[i].job = jobs[i]
	}
	return errs
}
