package api

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type changeInput struct {
	ID string `path:"id"`
}

type changeOutput struct {
	ETag       string `header:"ETag"`
	RetryAfter string `header:"Retry-After"`
	Body       jobView
}

// cancelJob gives a job up. A second time changes nothing.
func (s *Server) cancelJob(ctx context.Context, in *changeInput) (*changeOutput, error) {
	return s.changeJob(ctx, in.ID, giveUp)
}

// giveUp cancels a job of the exchange's organization, unless it was cancelled before.
func giveUp(ctx context.Context, tx pgx.Tx, x *exchange, id string) (store.Job, bool, error) {
	j, err := store.CancelJob(ctx, tx, x.caller.OrganizationID, id)
	if errors.Is(err, store.ErrConflict) {
		j, err = store.LockJob(ctx, tx, x.caller.OrganizationID, id)
		if err == nil && j.Status != store.Cancelled {
			err = refuse("already_finished", "the job has "+j.Status+", so it can't be cancelled")
		}
		return j, false, err
	}
	if err != nil {
		return j, false, err
	}
	return j, true, outbox.Append(ctx, tx, x.origin(),
		events.JobCancelled{JobID: j.ID, Kind: j.Kind, Version: j.Version, Callback: j.CallsBack()})
}

// retryJob gives a job that failed, was cancelled or waits a new run that is due now. One that is under
// way already is left as it is. An AI job that has ended counts again: it asks models anew.
func (s *Server) retryJob(ctx context.Context, in *changeInput) (out *changeOutput, err error) {
	var terms store.AITerms
	if len(s.AIRates) > 0 {
		// Within the transaction there is no second connection to be had.
		if terms, err = s.aiTerms(ctx, exchangeOf(ctx).caller.OrganizationID); err != nil {
			return nil, err
		}
	}
	giveBack := func() {}
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	return s.changeJob(ctx, in.ID, func(ctx context.Context, tx pgx.Tx, x *exchange, id string) (store.Job, bool, error) {
		j, err := s.retriable(ctx, tx, x, id)
		if err != nil {
			return j, false, err
		}
		if j.Terminal() && s.isAI(j.Kind) {
			if giveBack, err = s.takeRates(ctx, x, aiCount{terms, map[string]int{j.Kind: 1}}); err != nil {
				return j, false, err
			}
		}
		return s.requeue(ctx, tx, x, j)
	})
}

// retriable locks a job that the caller may try again.
func (s *Server) retriable(ctx context.Context, tx pgx.Tx, x *exchange, id string) (store.Job, error) {
	j, err := store.LockJob(ctx, tx, x.caller.OrganizationID, id)
	if err != nil {
		return j, err
	}
	if k := s.kinds[j.Kind]; k != nil && k.Scope == "admin" && x.caller.scopes&admin == 0 {
		return j, forbidden(admin)
	}
	if j.Status == store.Succeeded {
		return j, refuse("already_finished", "the job has succeeded, so there is nothing to try again")
	}
	return j, nil
}

// requeue gives a job a new run, unless it is under way.
func (s *Server) requeue(ctx context.Context, tx pgx.Tx, x *exchange, j store.Job) (store.Job, bool, error) {
	eventID := outbox.NewID()
	again, err := store.RequeueJob(ctx, tx, x.caller.OrganizationID, j.ID, eventID, s.placeOf(j))
	if errors.Is(err, store.ErrConflict) {
		return j, false, nil
	}
	if err != nil {
		return j, false, err
	}
	b := &pgx.Batch{}
	if err := outbox.QueueAs(b, eventID, x.origin(), requested(again)); err != nil {
		return again, false, err
	}
	return again, true, tx.SendBatch(ctx, b).Close()
}

// placeOf takes a place for a job that is tried again. It asks the estimate alone: within a transaction
// there is no second connection to be had. A job that goes behind the share without need moves up soon.
func (s *Server) placeOf(j store.Job) store.Place {
	k := s.kinds[j.Kind]
	if k == nil || k.Share <= 0 || s.shares.take(shareKey{j.OrganizationID, j.Queue}, k.Share) {
		return store.Fair
	}
	return store.Overflow
}

// changeJob runs a change in a transaction and tells whoever waits for the job.
func (s *Server) changeJob(ctx context.Context, id string,
	change func(context.Context, pgx.Tx, *exchange, string) (j store.Job, changed bool, err error)) (*changeOutput, error) {
	id, err := parseID(id)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	var j store.Job
	var changed bool
	err = s.DB.TxAs(ctx, x.caller.OrganizationID, func(tx pgx.Tx) (err error) {
		j, changed, err = change(ctx, tx, x, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if changed {
		s.Hints.OutboxChanged()
		s.Hints.JobChanged(id)
	}
	return &changeOutput{ETag: etagOf(j), RetryAfter: retryAfter(j, time.Now()), Body: viewOf(j)}, nil
}
