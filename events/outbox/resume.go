package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
)

// resume finds where to go on: behind the last message of the stream. Where the stream has none (new,
// lost, or silent for so long that everything aged out), behind what the router has carried out, as
// all of that was published; what is published twice after that, the router recognises.
func (r *Relay) resume(ctx context.Context, db querier) (seq uint64, from events.Position, err error) {
	now, err := currentEpoch(ctx, db)
	if err != nil {
		return 0, from, err
	}
	last, err := r.stream.Tail(ctx)
	if err != nil {
		return 0, from, err
	}
	from = last.Position
	if !last.Known {
		if from, err = routed(ctx, db); err != nil {
			return 0, from, err
		}
	}
	if now.newestXID >= now.nextXID {
		return 0, from, restored("the outbox holds", now.newestXID, now.nextXID)
	}
	if from.Epoch != now.start.Epoch {
		return last.Seq, now.start, nil
	}
	if from.XID >= now.nextXID {
		return 0, from, restored("the stream has come to", from.XID, now.nextXID)
	}
	return last.Seq, from, nil
}

func restored(what string, xid, next uint64) error {
	return fmt.Errorf("%s transaction %d, but the database is only at %d: it was restored from a copy; "+
		"begin a new life of the outbox with `payaid events new-epoch`", what, xid, next)
}

// Router is the name under which the router keeps its position.
const Router = "router"

const selectRouted = `SELECT epoch::text, xid::text, id FROM consumer_positions WHERE consumer = $1`

// routed is the router's position, or none before its first batch.
func routed(ctx context.Context, db querier) (events.Position, error) {
	var p events.Position
	var xid string
	err := db.QueryRow(ctx, selectRouted, Router).Scan(&p.Epoch, &xid, &p.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read the router's position: %w", err)
	}
	if p.XID, err = strconv.ParseUint(xid, 10, 64); err != nil {
		return p, fmt.Errorf("read the router's position: %w", err)
	}
	return p, nil
}
