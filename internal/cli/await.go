package cli

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
)

// awaitDatabase returns when the database answers and has its schema, and says meanwhile what it waits for: a
// worker signs on before it does anything else, and a machine that starts everything at once should not have
// to start it twice.
func awaitDatabase(ctx context.Context, db *store.DB, log *slog.Logger) error {
	const first, most = 250 * time.Millisecond, 5 * time.Second
	var lines telemetry.Sparse
	waited := false
	for wait := first; ; wait = min(2*wait, most) {
		err := db.Ready(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if waited {
				log.Info("database is there")
			}
			return nil
		}
		waited = true
		tellAwaited(log, &lines, err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// tellAwaited says at once what is wrong, and now and then that it still is.
func tellAwaited(log *slog.Logger, lines *telemetry.Sparse, err error) {
	what, why := "database is away, and is tried until it is there", ""
	var unusable *store.UnusableError
	if errors.As(err, &unusable) {
		what, why = "database can't be used, and is tried until it can", unusable.Reason()
	}
	if _, due := lines.Tell(why); !due {
		return
	}
	if why == "" {
		log.Warn(what, "error", err)
		return
	}
	log.Warn(what, "reason", why, "error", err)
}
