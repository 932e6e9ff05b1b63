package workers

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

func insertJobs(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], inserts []river.InsertManyParams) error {
	if len(inserts) == 0 {
		return nil
	}
	if _, err := client.InsertManyFastTx(ctx, tx, inserts); err != nil {
		return fmt.Errorf("insert %d jobs: %w", len(inserts), err)
	}
	return nil
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
