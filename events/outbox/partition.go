package outbox

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

const (
	// daysAhead is how many days get their partition before they come.
	daysAhead = 7
	// keptFor is how long a published event stays, so that a stream that lost its tail can be filled again.
	keptFor = 7 * 24 * time.Hour
)

// Partition makes the outbox's days ahead, and drops the days that ended a week ago and whose every
// event the router has carried out.
func Partition(ctx context.Context, db Execer) error {
	if _, err := db.Exec(ctx, `SELECT outbox_make_partitions($1)`, daysAhead); err != nil {
		return fmt.Errorf("make outbox partitions: %w", err)
	}
	now, err := currentEpoch(ctx, db)
	if err != nil {
		return err
	}
	p, err := routed(ctx, db)
	if err != nil || p.Epoch != now.start.Epoch {
		return err
	}
	_, err = db.Exec(ctx, `SELECT outbox_drop_partitions($1, $2::text::xid8, $3)`,
		time.Now().Add(-keptFor), strconv.FormatUint(p.XID, 10), p.ID)
	if err != nil {
		return fmt.Errorf("drop old outbox partitions: %w", err)
	}
	return nil
}
