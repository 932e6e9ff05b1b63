package jobs

import (
	"context"
	"errors"
	"log/slog"

	"github.com/payaid/payaid/internal/backup"
)

// AfterBackup is what became of the rest when a backup was made.
type AfterBackup struct {
	Places    []string // where it is
	Removed   []string // older backups that had to go
	NotCopied string   // why the second place doesn't have it; "": it has it, or there is none
}

// After does what comes after a good backup: older ones go, the second place gets a copy, the book is brought in line,
// and whoever waits for it is told. None of it can make the backup bad, so what goes wrong is logged with what to do.
func (b *BackupBook) After(ctx context.Context, k Backups, m backup.Manifest, log *slog.Logger) AfterBackup {
	out := AfterBackup{Places: []string{backup.InFolder}}
	removed, err := k.Retain(ctx)
	if err != nil {
		log.Warn("older backups could not be removed", "error", withFault(err))
	}
	out.Removed = append([]string{}, removed...)
	out.NotCopied = copyBackups(ctx, k, log)
	entries, err := b.Look(ctx, k)
	if err != nil {
		log.Warn("backups could not be listed", "error", withFault(err))
	}
	for _, e := range entries {
		if e.Good() && e.Manifest.ID == m.ID {
			out.Places = e.Places
		}
	}
	if err := k.PingGood(ctx, m, nil); err != nil {
		log.Warn("nobody could be told that a backup was made", "error", err)
	}
	return out
}

// copyBackups brings to the second place what it lacks, and gives why that did not work. It is tried again by the clock.
func copyBackups(ctx context.Context, k Backups, log *slog.Logger) (why string) {
	copies, err := k.Copy(ctx)
	if len(copies.Stored)+len(copies.Removed) > 0 {
		log.Info("the second place was brought in line", "stored", copies.Stored, "removed", copies.Removed)
	}
	if copies.Refused != nil {
		log.Warn("older backups could not be removed from the second place", "error", withFault(copies.Refused))
	}
	if err == nil {
		return ""
	}
	log.Warn("backups could not be copied to the second place", "error", withFault(err))
	var fault *backup.Fault
	if errors.As(err, &fault) {
		return withRemedy(fault)
	}
	return "The second place did not take it; the log says why."
}

// pingFailed tells whoever waits for a backup that there is none, unless somebody ended the work on purpose.
func pingFailed(ctx context.Context, k Backups, cause error, log *slog.Logger) {
	if ctx.Err() != nil {
		return
	}
	if err := k.PingFailed(ctx, cause); err != nil {
		log.Warn("nobody could be told that a backup failed", "error", err)
	}
}

// withFault gives the log the remedy of a fault too.
func withFault(err error) slog.LogValuer { return faultValue{err} }

type faultValue struct{ err error }

// LogValue implements slog.LogValuer.
func (v faultValue) LogValue() slog.Value {
	var fault *backup.Fault
	if errors.As(v.err, &fault) {
		return slog.StringValue(v.err.Error() + "; " + fault.Remedy)
	}
	return slog.StringValue(v.err.Error())
}
