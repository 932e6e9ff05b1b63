package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// onBehalf is the exchange as one of an organization, for what an operator does to what belongs to it.
func (x *exchange) onBehalf(organizationID string) *exchange {
	of := *x
	of.caller.OrganizationID = organizationID
	return &of
}

type jobRefOutput struct{ Body operator.JobRef }

// jobState is what the audit log has of a job: where it stands, and nothing of what it is about.
type jobState struct {
	Status   string     `json:"status"`
	Kind     string     `json:"kind,omitempty"`
	Run      int        `json:"run,omitempty"`
	Priority string     `json:"priority,omitempty"`
	RunAt    *time.Time `json:"run_at,omitempty"`
}

func stateOf(d store.AdminJobDetail) jobState {
	line := lineOfDetail(d)
	return jobState{Status: line.Status, Kind: line.Kind, Run: line.Run, Priority: line.Priority, RunAt: &line.RunAt}
}

// aJobAct is what is done to one job: to a requested one, or to an internal one by River's own means.
type aJobAct struct {
	requested func(context.Context, pgx.Tx, *exchange, store.Job) (changed bool, err error)
	internal  func(context.Context, pgx.Tx, *store.RiverRow) error
}

// actOnJob does something to a job, in the transaction that notes it.
func (s *Server) actOnJob(ctx context.Context, action, id string, do aJobAct) (*jobRefOutput, error) {
	out := &jobRefOutput{}
	changed := false
	err := s.act(ctx, act{Action: "job." + action, Target: "job", ID: id}, func(tx pgx.Tx, note *act) error {
		d, err := findAdminJob(ctx, tx, id)
		if err != nil {
			return err
		}
		note.Before, note.ID, note.OrganizationID = stateOf(d), lineOfDetail(d).ID, deref(lineOfDetail(d).OrganizationID)
		if d.Job != nil {
			changed, err = do.requested(ctx, tx, exchangeOf(ctx).onBehalf(d.Job.OrganizationID), *d.Job)
		} else {
			err = ofRiver(do.internal(ctx, tx, d.River))
		}
		if err != nil {
			return err
		}
		out.Body = operator.JobRef{ID: note.ID, Status: d.Status}
		after, err := findAdminJob(ctx, tx, note.ID)
		if isNotFound(err) {
			note.After = jobState{Status: "deleted"}
			return nil
		}
		if err == nil {
			note.After, out.Body.Status = stateOf(after), after.Status
		}
		return err
	})
	if err == nil && changed {
		s.Hints.OutboxChanged()
		s.Hints.JobChanged(out.Body.ID)
	}
	return out, err
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// ofRiver turns what River refuses into what an operator reads.
func ofRiver(err error) error {
	switch {
	case errors.Is(err, rivertype.ErrNotFound):
		return notFound()
	case errors.Is(err, rivertype.ErrJobRunning):
		return refuse("conflict", "the job is running; cancel it first, and delete it when it has ended")
	case store.IsUniqueViolation(err, "river_job_unique_idx"):
		return refuse("conflict", "another job for the same thing is under way, and River lets only one be; this one would do nothing more")
	}
	return err
}

// adminRetryJob gives a job a new run that is due now.
func (s *Server) adminRetryJob(ctx context.Context, in *adminJobInput) (*jobRefOutput, error) {
	return s.actOnJob(ctx, "retry", in.ID, aJobAct{
		requested: func(ctx context.Context, tx pgx.Tx, x *exchange, j store.Job) (bool, error) {
			j, err := s.retriable(ctx, tx, x, j.ID)
			if err != nil {
				return false, err
			}
			_, changed, err := s.requeue(ctx, tx, x, j)
			if err == nil && !changed {
				err = refuse("conflict", "the job is under way already; cancel it first to have it begin anew")
			}
			return changed, err
		},
		internal: func(ctx context.Context, tx pgx.Tx, r *store.RiverRow) error {
			if r.State == "running" || r.State == "available" || r.State == "pending" {
				return refuse("conflict", "the job is under way already")
			}
			_, err := s.river.JobRetryTx(ctx, tx, r.ID)
			return err
		},
	})
}

// adminCancelJob gives a job up.
func (s *Server) adminCancelJob(ctx context.Context, in *adminJobInput) (*jobRefOutput, error) {
	return s.actOnJob(ctx, "cancel", in.ID, aJobAct{
		requested: func(ctx context.Context, tx pgx.Tx, x *exchange, j store.Job) (bool, error) {
			_, changed, err := giveUp(ctx, tx, x, j.ID)
			return changed, err
		},
		internal: func(ctx context.Context, tx pgx.Tx, r *store.RiverRow) error {
			if r.FinalizedAt != nil {
				return refuse("already_finished", "the job has ended ("+r.State+"), so it can't be cancelled")
			}
			_, err := s.river.JobCancelTx(ctx, tx, r.ID)
			return err
		},
	})
}

// adminDeleteJob deletes a job that has ended. Its effects, calls and mails stay until they are cleaned up.
func (s *Server) adminDeleteJob(ctx context.Context, in *adminJobInput) (*struct{}, error) {
	_, err := s.actOnJob(ctx, "delete", in.ID, aJobAct{
		requested: func(ctx context.Context, tx pgx.Tx, x *exchange, j store.Job) (bool, error) {
			err := store.DeleteEndedJob(ctx, tx, j.OrganizationID, j.ID)
			if errors.Is(err, store.ErrConflict) {
				err = refuse("conflict", "the job has not ended; cancel it first")
			}
			return false, err
		},
		internal: func(ctx context.Context, tx pgx.Tx, r *store.RiverRow) error {
			if r.FinalizedAt == nil && r.State != "running" {
				return refuse("conflict", "the job has not ended; cancel it first")
			}
			_, err := s.river.JobDeleteTx(ctx, tx, r.ID)
			return err
		},
	})
	return nil, err
}

type adminPatchJobInput struct {
	ID   string `path:"id" maxLength:"40"`
	Body struct {
		Priority optional[string]    `json:"priority,omitempty" required:"false" enum:"high,normal,low" doc:"null: normal"`
		RunAt    optional[time.Time] `json:"run_at,omitempty" required:"false" doc:"When it goes on; null: now"`
	}
}

// adminPatchJob changes how urgent a job is, or when it goes on.
func (s *Server) adminPatchJob(ctx context.Context, in *adminPatchJobInput) (*jobRefOutput, error) {
	change := in.Body
	priority, known := priorityNumbers[strings.ToLower(change.Priority.value)]
	if change.Priority.null {
		priority, known = 2, true
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	at := now
	if !change.RunAt.null && change.RunAt.value.After(now) {
		at = change.RunAt.value.UTC().Truncate(time.Microsecond)
	}
	switch {
	case !change.Priority.set && !change.RunAt.set:
		return nil, invalid(Fault{"", "name what to change: priority or run_at"})
	case change.Priority.set && (!known || priority == 4):
		return nil, invalid(Fault{"/priority", "must be high, normal or low"})
	case at.Sub(now) > maxAhead:
		return nil, invalid(Fault{"/run_at", "must be within a year"})
	}
	return s.actOnJob(ctx, "change", in.ID, aJobAct{
		requested: func(ctx context.Context, tx pgx.Tx, x *exchange, j store.Job) (bool, error) {
			id, err := store.RiverOfRun(ctx, tx, j.ID, j.Run)
			if errors.Is(err, store.ErrConflict) && !j.Terminal() {
				return false, refuse("conflict", "the job is still on its way to its queue; try again in a moment")
			}
			if err == nil && change.Priority.set {
				err = store.PrioritizeJob(ctx, tx, j.OrganizationID, j.ID, id, priority)
			}
			if err == nil && change.RunAt.set {
				err = store.RescheduleJob(ctx, tx, j.OrganizationID, j.ID, id, at)
			}
			return err == nil, notChangeable(err)
		},
		internal: func(ctx context.Context, tx pgx.Tx, r *store.RiverRow) (err error) {
			if change.Priority.set {
				err = store.PrioritizeRiver(ctx, tx, r.ID, priority)
			}
			if err == nil && change.RunAt.set {
				err = store.RescheduleRiver(ctx, tx, r.ID, at)
			}
			return notChangeable(err)
		},
	})
}

func notChangeable(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return refuse("conflict", "the job is being worked, or has ended, so this can't be changed any more")
	}
	return err
}
