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
	// What the second place did not take is brought to it, which may be a lot.
	Queue: Maintenance, Timeout: 6 * time.Hour, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/10 * * * *",
}

// keepBackups keeps house among the backups: what a killed process has left, what the second place lacks, and what
// somebody changed by hand.
type keepBackups struct {
	Deps
	turn oneAtATime
}

// Run implements Chore.
func (w keepBackups) Run(ctx context.Context, _ keepBackupsArgs) error {
	book := NewBackupBook(w.DB)
	if err := book.Lose(ctx, ""); err != nil {
		return err
	}
	if w.Backing.Keeper == nil {
		return nil
	}
	give, err := w.turn.take()
	if err != nil {
		return nil // whoever has the turn sees to it, and the clock asks again soon
	}
	defer give()
	copyBackups(ctx, w.Backing.Keeper, w.Log)
	var fault *backup.Fault
	entries, err := book.Look(ctx, w.Backing.Keeper)
	if errors.As(err, &fault) {
		w.Log.Warn("backups could not be listed", "error", withFault(err))
		return nil // the clock asks again soon
	}
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := w.Backing.Keeper.Sweep(ctx); err != nil && !(errors.As(err, &fault) && fault.Code == backup.Busy) {
		w.Log.Warn("what backups have left could not be swept", "error", withFault(err))
	}
	return nil
}
