package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// sweepReservationsArgs are the arguments of maintenance.sweep_reservations.
type sweepReservationsArgs struct{}

// Kind implements river.JobArgs.
func (sweepReservationsArgs) Kind() string { return "maintenance.sweep_reservations" }

var sweepReservationsSpec = Spec{
	Queue: Maintenance, Timeout: 10 * time.Minute, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute),
	Cron: "*/5 * * * *",
}

// abandonedAfter is when nobody will settle a reservation any more: many times what a call of the fallback
// provider may take, and the writing down of what it cost.
const abandonedAfter = 15 * time.Minute

// sweepReservations counts as spent what was set aside by processes that died before they could settle.
type sweepReservations struct {
	db  *store.DB
	log *slog.Logger
}

// Run implements Chore.
func (w sweepReservations) Run(ctx context.Context, _ sweepReservationsArgs) error {
	n, err := w.db.SweepAI(ctx, time.Now().Add(-abandonedAfter))
	if n > 0 {
		w.log.Warn("reservations of calls that were never settled count as spent", "calls", n)
	}
	return err
}
