package outbox

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// mostBehind bounds the counting: more than that is much, whatever the number.
const mostBehind = 1000

const selectBacklog = `
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM (SELECT created_at FROM outbox WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY outbox.xid, outbox.id LIMIT $3) AS unsent`

// Backlog counts what is committed and not in the log yet, up to a thousand, and tells how old the oldest of it is.
// It looks from the end of the log on, as a relay that starts would.
func Backlog(ctx context.Context, db Execer, last Tail) (events int, oldest time.Duration, err error) {
	now, err := currentEpoch(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	from := last.Position
	if !last.Known {
		if from, err = routed(ctx, db); err != nil {
			return 0, 0, err
		}
	}
	if from.Epoch != now.start.Epoch {
		from = now.start
	}
	var waited float64
	err = db.QueryRow(ctx, selectBacklog, strconv.FormatUint(from.XID, 10), from.ID, mostBehind).Scan(&events, &waited)
	if err != nil {
		return 0, 0, fmt.Errorf("count what the log lacks: %w", err)
	}
	return events, time.Duration(max(0, waited) * float64(time.Second)), nil
}
