package workers

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// sweepWebhooksEvery is how long a lane may have a free place after a process died that should have given it away, or
// after a pause.
const sweepWebhooksEvery = time.Second

// sweepWebhooksLock is the transaction's advisory lock.
const sweepWebhooksLock int64 = 0x70617961_6964_0006

// A webhookSweep is the net under deliveries. Every process sweeps; a lock lets one do it at a time.
type webhookSweep struct {
	db    *store.DB
	river *river.Client[pgx.Tx]
	log   *slog.Logger
	state jobs.DeliverySweep
}

func (s *webhookSweep) run(ctx context.Context) error {
	return every(ctx, sweepWebhooksEvery, s.log, "sweep of webhooks", s.turn)
}

func (s *webhookSweep) turn(ctx context.Context) error {
	var swept jobs.Swept
	err := s.db.Tx(ctx, func(tx pgx.Tx) error {
		var got bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sweepWebhooksLock).Scan(&got); err != nil || !got {
			return err
		}
		var err error
		if swept, err = s.state.Turn(ctx, tx); err != nil {
			return err
		}
		return insertJobs(ctx, tx, s.river, swept.Inserts)
	})
	if err != nil {
		return err
	}
	if swept.Lost > 0 {
		s.log.Warn("deliveries were gone from the queue, and are back", "count", swept.Lost)
	}
	if swept.Ended > 0 {
		s.log.Info("deliveries were given up", "count", swept.Ended)
	}
	return nil
}
