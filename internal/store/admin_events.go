package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// An EventFilter narrows a list of events. Zero fields don't.
type EventFilter struct {
	Type, OrganizationID, Subject, RequestID string
	After, Before                            time.Time
	Behind                                   string // id: only older ones
	Limit                                    int
}

// AdminEvents lists events of all organizations, newest first. Ids of events tell the time, and days are indexed by
// them: what narrows by time, subject or request is found at once, a type or an organization that is rare may take long.
func AdminEvents(ctx context.Context, tx pgx.Tx, f EventFilter) ([]ChainEvent, error) {
	var args []any
	conditions := []string{"true"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	for condition, value := range map[string]string{"o.type = ?": f.Type, "o.organization_id = ?": f.OrganizationID, "o.subject = ?": f.Subject,
		"o.correlation_id = ? AND o.correlation_id IS NOT NULL": f.RequestID, "o.event_id < ?": f.Behind} {
		if value != "" {
			where(condition, value)
		}
	}
	if !f.After.IsZero() {
		where("o.created_at >= ?", f.After)
		where("o.event_id >= ?", idAt(f.After.Add(-idSlack)))
	}
	if !f.Before.IsZero() {
		where("o.created_at < ?", f.Before)
		where("o.event_id < ?", idAt(f.Before.Add(idSlack)))
	}
	args = append(args, f.Limit)
	rows, err := tx.Query(ctx, `SELECT `+chainEventColumns+` FROM outbox o WHERE `+strings.Join(conditions, " AND ")+
		` ORDER BY o.event_id DESC LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ChainEvent])
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list, nil
}

const eventContent = `SELECT data::text FROM outbox WHERE event_id = $1`

// EventContent reads what an event says.
func EventContent(ctx context.Context, tx pgx.Tx, id string) (json.RawMessage, error) {
	var text string
	if err := tx.QueryRow(ctx, eventContent, id).Scan(&text); err != nil {
		return nil, fmt.Errorf("read event %s: %w", id, notFound(err))
	}
	return json.RawMessage(text), nil
}

// mostWaiting bounds the counting of what waits: more than that is much, whatever the number.
const mostWaiting = 1000

// An EventsBehind is what lies behind a position in the outbox.
type EventsBehind struct {
	Events int // mostWaiting at most
	Oldest *time.Time
}

const waitingBehind = `
SELECT count(*)::int, min(created_at) FROM (
    SELECT created_at FROM outbox WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY outbox.xid, outbox.id LIMIT $3) AS behind`

// WaitingBehind counts the events behind a place in the outbox.
func WaitingBehind(ctx context.Context, tx pgx.Tx, xid uint64, id int64) (w EventsBehind, err error) {
	err = tx.QueryRow(ctx, waitingBehind, strconv.FormatUint(xid, 10), id, mostWaiting).Scan(&w.Events, &w.Oldest)
	if err != nil {
		return w, fmt.Errorf("count what lies behind %d/%d in the outbox: %w", xid, id, err)
	}
	return w, nil
}

// A FlowStand is how far the outbox, and who reads it, have come.
type FlowStand struct {
	Epoch           string     `db:"epoch"`
	EpochAt         time.Time  `db:"epoch_at"`
	EpochReason     string     `db:"epoch_reason"`
	EpochXID        string     `db:"epoch_xid"`
	NewestAt        *time.Time `db:"newest_at"`
	Days            int        `db:"days"`
	Dead            int        `db:"dead"` // mostWaiting at most
	RouterEpoch     *string    `db:"router_epoch"`
	RouterXID       *string    `db:"router_xid"`
	RouterPlace     *int64     `db:"router_place"`
	RouterSeq       *int64     `db:"router_seq"`
	RouterMovedAt   *time.Time `db:"router_moved_at"`
	OldestOpenSince *time.Time `db:"oldest_open_since"` // the oldest transaction, which holds the relay back
	Relay           *string    `db:"relay"`             // who has its lock
	Router          *string    `db:"router"`
}

// The locks of relay and router are their sessions'; the application's name says who that is.
const flowStand = `
SELECT e.epoch::text, e.started_at AS epoch_at, e.reason AS epoch_reason, e.started_xid::text AS epoch_xid,
       (SELECT created_at FROM outbox ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1) AS newest_at,
       (SELECT count(*)::int FROM pg_inherits WHERE inhparent = 'outbox'::regclass) AS days,
       (SELECT count(*)::int FROM (SELECT FROM dead_events WHERE redriven_at IS NULL LIMIT $1) AS dead) AS dead,
       p.epoch::text AS router_epoch, p.xid::text AS router_xid, p.id AS router_place, p.stream_seq AS router_seq, p.updated_at AS router_moved_at,
       (SELECT min(xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()) AS oldest_open_since,
       (SELECT min(a.application_name) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = 1885436257 AND l.objid = 1768161282
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS relay,
       (SELECT min(a.application_name) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = 1885436257 AND l.objid = 1768161283
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS router
FROM (SELECT * FROM outbox_epochs ORDER BY started_at DESC, started_xid DESC LIMIT 1) AS e
LEFT JOIN consumer_positions p ON p.consumer = 'router'`

// ReadFlow reads how far the outbox and its readers have come.
func ReadFlow(ctx context.Context, tx pgx.Tx) (FlowStand, error) {
	var f FlowStand
	rows, err := tx.Query(ctx, flowStand, mostWaiting)
	if err == nil {
		f, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[FlowStand])
	}
	if err != nil {
		return f, fmt.Errorf("look how far the outbox has come: %w", err)
	}
	return f, nil
}

// A ListedDeadEvent is a dead event without its content.
type ListedDeadEvent struct {
	ID         int64      `db:"id"`
	Consumer   string     `db:"consumer"`
	StreamSeq  int64      `db:"stream_seq"`
	Subject    string     `db:"subject"`
	EventID    string     `db:"event_id"` // "": the message had none
	Reason     string     `db:"reason"`
	Size       int        `db:"size"`
	ReceivedAt time.Time  `db:"received_at"`
	RedrivenAt *time.Time `db:"redriven_at"`
}

const listDeadEvents = `
SELECT id, consumer, stream_seq, subject, left(coalesce(headers->'ce-id'->>0, ''), 100) AS event_id, left(reason, 2000) AS reason,
       octet_length(body) AS size, received_at, redriven_at
FROM dead_events
WHERE ($1 OR redriven_at IS NULL) AND ($2::bigint = 0 OR id < $2)
ORDER BY dead_events.id DESC LIMIT $3`

// ListDeadEvents lists dead events, newest first, with those that were redriven only if asked for; behind 0 is from the start.
func ListDeadEvents(ctx context.Context, tx pgx.Tx, all AllDead, behind int64, limit int) ([]ListedDeadEvent, error) {
	rows, err := tx.Query(ctx, listDeadEvents, bool(all), behind, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ListedDeadEvent])
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	return list, nil
}

// AllDead says whether dead events that were redriven are listed as well.
type AllDead bool
