package workers

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// A failureSampler counts groups of failures in advance while there are too many to count whenever somebody looks. Every
// process has one; a lock lets one do it at a time, and where there are few it costs a look at an index.
type failureSampler struct {
	db  *store.DB
	log *slog.Logger
}

const (
	failuresLook = 20 * time.Second
	// A count of many takes seconds; it may use a tenth of the time.
	failuresAgain = 10
	failuresTime  = 2 * time.Minute
)

func (f *failureSampler) run(ctx context.Context) error {
	return every(ctx, failuresLook, f.log, "sampling of failures", f.turn)
}

// failuresLock is the transaction's advisory lock.
const failuresLock int64 = 0x70617961_6964_0009

func (f *failureSampler) turn(ctx context.Context) error {
	for _, span := range store.FailureSpans() {
		err := f.db.AsOperator(ctx, failuresTime, func(tx pgx.Tx) error {
			var got bool
			if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, failuresLock).Scan(&got); err != nil || !got {
				return err
			}
			_, err := store.SampleFailures(ctx, tx, span, sampleEvery(span))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sampleEvery is how old a sample may become: the last hour changes by the minute, the last week does not.
func sampleEvery(s store.FailureSpan) time.Duration {
	return max(failuresLook, min(failuresAgain*time.Minute, s.Length/(failuresAgain*24)))
}
