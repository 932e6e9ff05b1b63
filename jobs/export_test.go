package jobs

import "context"

// SweepReservations is a run of the chore.
func SweepReservations(d Deps) func(context.Context) error {
	w := sweepReservations{db: d.DB, log: d.Log}
	return func(ctx context.Context) error { return w.Run(ctx, sweepReservationsArgs{}) }
}

// KeepBackups is a run of the chore.
func KeepBackups(d Deps) func(context.Context) error {
	w := keepBackups{d, make(oneAtATime, 1)}
	return func(ctx context.Context) error { return w.Run(ctx, keepBackupsArgs{}) }
}

// CallbackBody is what a callback's attempt sends.
var CallbackBody = callbackBody
