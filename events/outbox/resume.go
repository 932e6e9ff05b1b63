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
	if err := now.younger(from); err != nil {
		return 0, from, err
	}
	if from.Epoch != now.start.Epoch {
		return last.Seq, now.start, nil
	}
	return last.Seq, from, nil
}

// CheckNumbers is an error where the database is a copy that was restored into a younger cluster: its outbox, or how far
// the log has come, has a transaction number that the cluster has yet to give. Then the log holds what this database
// knows nothing of, which must start nothing here. The log is to be asked first, as it may grow.
func CheckNumbers(ctx context.Context, db querier, last Tail) error {
	now, err := currentEpoch(ctx, db)
	if err != nil {
		return err
	}
	return now.younger(last.Position)
}

// younger is an error where numbers are in use that this cluster has yet to give.
func (now epoch) younger(at events.Position) error {
	if now.newestXID >= now.nextXID {
		return restored("the outbox holds", now.newestXID, now.nextXID)
	}
	if at.Epoch == now.start.Epoch && at.XID >= now.nextXID {
		return restored("the stream has come to", at.XID, now.nextXID)
	}
	return nil
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
