package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/payaid/payaid/internal/backup"
)

// keepBackupsArgs are the arguments of maintenance.keep_backups.
type keepBackupsArgs struct{}

// Kind implements river.JobArgs.
func (keepBackupsArgs) Kind() string { return "maintenance.keep_backups" }

var keepBackupsSpec = Spec{
	Queue: Maintenance, Timeout: 10 * time.Minute, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/10 * * * *",
}

// keepBackups keeps house among the backups: what a killed process has left, in the folder and among the databases, and
// what somebody changed by hand.
type keepBackups struct{ Deps }

// Run implements Chore.
func (w keepBackups) Run(ctx context.Context, _ keepBackupsArgs) error {
	book := NewBackupBook(w.DB)
	if err := book.Lose(ctx, ""); err != nil {
		return err
	}
	if w.Backing.Keeper == nil {
		return nil
	}
	var fault *backup.Fault
	if err := w.Backing.Keeper.Sweep(ctx); errors.As(err, &fault) && fault.Code != backup.Busy {
		w.Log.Warn("what backups have left could not be swept", "error", withFault(err))
	} else if err != nil && fault == nil {
		return err
	}
	_, err := book.Look(ctx, w.Backing.Keeper)
	if errors.As(err, &fault) {
		w.Log.Warn("backups could not be listed", "error", withFault(err))
		return nil // the clock asks again soon
	}
	return err
}
