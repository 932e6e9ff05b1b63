package outbox

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

const retireYounger = `UPDATE outbox SET xid = '0' WHERE xid >= $1::text::xid8 AND (xid, id) <= ($2::text::xid8, $3)`

const appendUnrouted = `
UPDATE outbox o SET xid = pg_current_xact_id(), id = unrouted.n
FROM (SELECT xid, id, created_at, row_number() OVER (ORDER BY xid, id) AS n
      FROM outbox WHERE (xid, id) > ($1::text::xid8, $2)) unrouted
WHERE o.xid = unrouted.xid AND o.id = unrouted.id AND o.created_at = unrouted.created_at`

const beginAtEpoch = `
INSERT INTO consumer_positions (consumer, epoch, xid, id, stream_seq)
SELECT $1, epoch, started_xid, 0, 0 FROM outbox_epochs ORDER BY started_at DESC, started_xid DESC LIMIT 1
ON CONFLICT (consumer) DO UPDATE
SET epoch = excluded.epoch, xid = excluded.xid, id = 0, stream_seq = 0, updated_at = now()`

// BeginRestored begins a new life of the outbox in a copy that was just restored and that nobody uses yet. It needs
// no log: what the router had not carried out when the copy was taken is put behind the beginning of the new life, to
// be published and carried out once, whether or not the log has it. Everything that the log has of earlier lives is
// passed over from then on, so what happened after the copy was taken, which the copy knows nothing of, starts
// nothing. It returns how many events are published anew.
func BeginRestored(ctx context.Context, tx pgx.Tx, reason string) (again int, err error) {
	before, err := currentEpoch(ctx, tx)
	if err != nil {
		return 0, err
	}
	from, err := routed(ctx, tx)
	if err != nil {
		return 0, err
	}
	// The router had come to nothing of the present life yet, and what was left of earlier ones lies behind its beginning.
	if from.Epoch != "" && from.Epoch != before.start.Epoch {
		from = before.start
	}
	var started string
	if err := tx.QueryRow(ctx, insertEpoch, reason).Scan(&started); err != nil {
		return 0, fmt.Errorf("begin a new epoch of the outbox: %w", err)
	}
	xid := strconv.FormatUint(from.XID, 10)
	// Numbers that this cluster has yet to give would come up again when it gives them.
	if _, err := tx.Exec(ctx, retireYounger, started, xid, from.ID); err != nil {
		return 0, fmt.Errorf("put aside what was carried out: %w", err)
	}
	tag, err := tx.Exec(ctx, appendUnrouted, xid, from.ID)
	if err != nil {
		return 0, fmt.Errorf("put events behind the new epoch's beginning: %w", err)
	}
	if _, err := tx.Exec(ctx, beginAtEpoch, Router); err != nil {
		return 0, fmt.Errorf("move the router's position: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
