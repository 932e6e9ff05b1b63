package workers

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// settled is how long River may take to show what our own transactions will say in a moment.
const settled = 10 * time.Second

// collect brings jobs back that River does not work any more though they have not ended: an operator has
// cancelled or deleted the work by River's own means. What was cancelled there ends, what was thrown
// away fails, what is gone is started again.
func (s *sweep) collect(ctx context.Context, tx pgx.Tx) (changed []string, err error) {
	list, err := store.JobsAdrift(ctx, tx, settled)
	if err != nil {
		return nil, err
	}
	var again []river.InsertManyParams
	for _, a := range list {
		switch a.State {
		case "cancelled":
			err = jobs.Cancel(ctx, tx, a.Job)
		case "discarded":
			err = jobs.Fail(ctx, tx, a.Job, errWorkDiscarded)
		default:
			again = append(again, restart(s.table, a.Job)...)
		}
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
		changed = append(changed, a.Job.ID)
		s.log.Warn("job was adrift", "job_id", a.Job.ID, "kind", a.Job.Kind, "organization_id", a.Job.OrganizationID,
			"river_state", a.State)
	}
	return changed, insertJobs(ctx, tx, s.river, again)
}

// restart is what the event that asked for a job's present run would start.
func restart(table []jobs.Job, j store.Job) []river.InsertManyParams {
	e := events.Envelope{ID: j.EventID, OrganizationID: j.OrganizationID, Time: time.Now()}
	if j.TraceParent != nil {
		e.TraceParent = *j.TraceParent
	}
	inserts := jobs.Route(table, e, events.JobRequested{JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run,
		Priority: j.Priority, Overflow: j.Overflow, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt, Version: j.Version})
	againFor(e).mark(inserts)
	return inserts
}

var errWorkDiscarded = &jobs.Failure{
	Code: "work_discarded", Title: "Work discarded", Detail: "The work was thrown away before it came to an end.",
}
