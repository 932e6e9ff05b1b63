package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
)

// Pending is one look of the relay's cursor.
func Pending(ctx context.Context, conn *pgx.Conn, after events.Position, limit int) ([]Entry, bool, error) {
	return pending(ctx, conn, after, limit)
}

// Resume is where a relay would go on.
func (r *Relay) Resume(ctx context.Context, conn *pgx.Conn) (uint64, events.Position, error) {
	return r.resume(ctx, conn)
}

// RelayUnlocked relays without having asked for the lock, as a relay does that doesn't know that it lost it.
func (r *Relay) RelayUnlocked(ctx context.Context, conn *pgx.Conn, seq uint64, p events.Position) error {
	return r.relay(ctx, conn, seq, p)
}

// LockID is the advisory lock of the active relay.
const LockID = RelayLock
