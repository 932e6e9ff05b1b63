package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/events"
)

// Ids are given before the commit and become visible in another order, so a cursor on id alone skips
// rows. Below the oldest transaction that is still open nothing can appear any more; up to there the
// order (xid, id) is final. The order names the table's columns: the result has an xid of its own, a text.
const selectPending = `
SELECT xid::text, id, event_id::text, organization_id::text, type, subject, aggregate_version,
       coalesce(causation_id, ''), coalesce(correlation_id, ''), coalesce(traceparent, ''), data::text, created_at,
       xid < pg_snapshot_xmin(pg_current_snapshot())
FROM outbox
WHERE (xid, id) > ($1::text::xid8, $2)
ORDER BY outbox.xid, outbox.id
LIMIT $3`

// An Execer runs a statement: a pool, a connection or a transaction.
type Execer interface {
	querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const pendingWithin = 15 * time.Second

// pending reads what may be published behind a position. held reports that more is committed but a
// transaction that began earlier is still open, so that asking again soon is worth it.
func pending(ctx context.Context, db querier, after events.Position, limit int) (entries []Entry, held bool, err error) {
	// A connection that is half open answers never.
	ctx, cancel := context.WithTimeout(ctx, pendingWithin)
	defer cancel()
	rows, err := db.Query(ctx, selectPending, strconv.FormatUint(after.XID, 10), after.ID, limit)
	if err != nil {
		return nil, false, fmt.Errorf("read the outbox: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		entry, ready, err := scanEntry(rows, after.Epoch)
		if err != nil {
			return nil, false, fmt.Errorf("read the outbox: %w", err)
		}
		if !ready {
			return entries, true, nil
		}
		entries = append(entries, entry)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read the outbox: %w", err)
	}
	return entries, false, nil
}

func scanEntry(row pgx.Row, epoch string) (Entry, bool, error) {
	var (
		e     events.Envelope
		p     = events.Position{Epoch: epoch}
		xid   string
		data  string
		ready bool
	)
	err := row.Scan(&xid, &p.ID, &e.ID, &e.OrganizationID, &e.Type, &e.Subject, &e.AggregateVersion,
		&e.CausationID, &e.CorrelationID, &e.TraceParent, &data, &e.Time, &ready)
	if err != nil {
		return Entry{}, false, err
	}
	e.Data = []byte(data)
	p.XID, err = strconv.ParseUint(xid, 10, 64)
	return Entry{Event: e, Position: p}, ready, err
}

const selectEpoch = `
SELECT epoch::text, started_xid::text, pg_snapshot_xmax(pg_current_snapshot())::text,
       coalesce((SELECT xid FROM outbox ORDER BY xid DESC, id DESC LIMIT 1), '0')::text, started_at
FROM outbox_epochs ORDER BY started_at DESC, started_xid DESC LIMIT 1`

// epoch is the present life of the outbox: where it began, the first xid that is not given yet, and the
// newest in the outbox. That one is the greater only in a copy, restored into a younger cluster.
type epoch struct {
	start     events.Position
	startedAt time.Time
	nextXID   uint64
	newestXID uint64
}

func currentEpoch(ctx context.Context, db querier) (epoch, error) {
	var now epoch
	var started, next, newest string
	err := db.QueryRow(ctx, selectEpoch).Scan(&now.start.Epoch, &started, &next, &newest, &now.startedAt)
	if err != nil {
		return now, fmt.Errorf("read the outbox's epoch: %w", err)
	}
	var bad [3]error
	now.start.XID, bad[0] = strconv.ParseUint(started, 10, 64)
	now.nextXID, bad[1] = strconv.ParseUint(next, 10, 64)
	now.newestXID, bad[2] = strconv.ParseUint(newest, 10, 64)
	if err := errors.Join(bad[:]...); err != nil {
		return now, fmt.Errorf("read the outbox's epoch: %w", err)
	}
	return now, nil
}
