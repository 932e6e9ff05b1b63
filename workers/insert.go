package workers

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

func insertJobs(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], inserts []river.InsertManyParams) error {
	if len(inserts) == 0 {
		return nil
	}
	_, err := client.InsertManyFastTx(ctx, tx, inserts)
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) || ctx.Err() != nil || tx.Conn().IsClosed():
		return fmt.Errorf("insert %d jobs: %w", len(inserts), err)
	}
	// River looked at them and would not have them.
	return fmt.Errorf("%w: insert %d jobs: %w", events.ErrNotAnEvent, len(inserts), err)
}

// unroutable reports whether an event is at fault for an error, and not the times.
func unroutable(err error) bool {
	return store.IsDataError(err) || errors.Is(err, events.ErrNotAnEvent)
}

// cancelWork ends the work that is under way, or waits, for a job that was cancelled or asked for anew.
// Work that has not begun ends by itself when it finds that its job is over.
func cancelWork(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], e events.Envelope) error {
	id, err := store.RiverJobOf(ctx, tx, e.OrganizationID, e.Subject)
	if err != nil || id == 0 {
		return err
	}
	if _, err := client.JobCancelTx(ctx, tx, id); err != nil && !errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("cancel the work of job %s: %w", e.Subject, err)
	}
	return nil
}
