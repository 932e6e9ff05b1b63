package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/events"
)

// A ConsumerPosition is how far a consumer of the stream has come. The place in the outbox is the truth
// and survives the loss of the stream; the sequence says where to start reading.
type ConsumerPosition struct {
	Consumer  string
	Epoch     string // "" before the first event
	XID       uint64
	ID        int64
	StreamSeq uint64
}

// Position is the place in the outbox.
func (p ConsumerPosition) Position() events.Position {
	return events.Position{Epoch: p.Epoch, XID: p.XID, ID: p.ID}
}

// SetPosition moves the place in the outbox.
func (p *ConsumerPosition) SetPosition(to events.Position) {
	p.Epoch, p.XID, p.ID = to.Epoch, to.XID, to.ID
}

const selectPosition = `SELECT epoch::text, xid::text, id, stream_seq FROM consumer_positions WHERE consumer = $1`

// LockPosition is ReadPosition, and keeps the consumer where it is until the transaction ends.
func LockPosition(ctx context.Context, tx pgx.Tx, consumer string) (ConsumerPosition, error) {
	return readPosition(ctx, tx, selectPosition+` FOR UPDATE`, consumer)
}

// ReadPosition reads a consumer's position; one that never began is at the start.
func ReadPosition(ctx context.Context, db Execer, consumer string) (ConsumerPosition, error) {
	return readPosition(ctx, db, selectPosition, consumer)
}

func readPosition(ctx context.Context, db Execer, sql, consumer string) (ConsumerPosition, error) {
	p := ConsumerPosition{Consumer: consumer}
	var xid string
	var seq int64
	err := db.QueryRow(ctx, sql, consumer).Scan(&p.Epoch, &xid, &p.ID, &seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err == nil {
		p.StreamSeq = uint64(seq)
		p.XID, err = strconv.ParseUint(xid, 10, 64)
	}
	if err != nil {
		return p, fmt.Errorf("read the position of %s: %w", consumer, err)
	}
	return p, nil
}

const insertPosition = `
INSERT INTO consumer_positions (consumer, epoch, xid, id, stream_seq) VALUES ($1, $2, $3::text::xid8, $4, $5)
ON CONFLICT DO NOTHING`

const movePosition = `
UPDATE consumer_positions SET epoch = $2, xid = $3::text::xid8, id = $4, stream_seq = $5, updated_at = now()
WHERE consumer = $1 AND epoch = $6 AND xid = $7::text::xid8 AND id = $8 AND stream_seq = $9`

// QueueMove adds to a batch that a consumer moves on from where it believes to stand. ErrConflict comes from the batch
// when another process has moved it: the caller must not carry out what it read.
func QueueMove(b *pgx.Batch, from, to ConsumerPosition) {
	if to.Epoch == "" {
		return // nothing readable has come yet
	}
	args := []any{to.Consumer, to.Epoch, strconv.FormatUint(to.XID, 10), to.ID, int64(to.StreamSeq)}
	sql := insertPosition
	if from.Epoch != "" {
		sql = movePosition
		args = append(args, from.Epoch, strconv.FormatUint(from.XID, 10), from.ID, int64(from.StreamSeq))
	}
	b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		if err := oneRow(tag); err != nil {
			return fmt.Errorf("move the position of %s: %w", to.Consumer, err)
		}
		return nil
	})
}

const selectEpochs = `SELECT epoch::text FROM outbox_epochs ORDER BY started_at, started_xid`

// Epochs gives the lives of the outbox their order.
func Epochs(ctx context.Context, db Execer) (map[string]int, error) {
	rows, err := db.Query(ctx, selectEpochs)
	if err != nil {
		return nil, fmt.Errorf("read the outbox's epochs: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the outbox's epochs: %w", err)
	}
	order := make(map[string]int, len(ids))
	for i, id := range ids {
		order[id] = i
	}
	return order, nil
}

// A DeadEvent is a message that a consumer could not read.
type DeadEvent struct {
	ID         int64
	Consumer   string
	StreamSeq  int64
	Subject    string
	Headers    map[string][]string
	Body       []byte
	Reason     string
	ReceivedAt time.Time
	RedrivenAt *time.Time
}

// A stream that is read from its beginning again shows what was kept before.
const insertDeadEvent = `
INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (SELECT FROM dead_events WHERE consumer = $1 AND stream_seq = $2 AND subject = $3 AND body = $5)`

// PutDeadEvents keeps messages that could not be read, in the transaction that moves on behind them.
func PutDeadEvents(ctx context.Context, tx pgx.Tx, dead []DeadEvent) error {
	for _, d := range dead {
		headers := make(map[string][]string, len(d.Headers))
		for name, values := range d.Headers {
			for _, v := range values {
				headers[storable(name)] = append(headers[storable(name)], storable(v))
			}
		}
		encoded, err := json.Marshal(headers)
		if err != nil {
			return fmt.Errorf("keep dead event %d: %w", d.StreamSeq, err)
		}
		body := append([]byte{}, d.Body...) // never NULL
		_, err = tx.Exec(ctx, insertDeadEvent, d.Consumer, d.StreamSeq, storable(d.Subject), encoded, body, storable(d.Reason))
		if err != nil {
			return fmt.Errorf("keep dead event %d: %w", d.StreamSeq, err)
		}
	}
	return nil
}

// storable makes a text of any bytes: Postgres takes no NUL and nothing but UTF-8.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

const selectDeadEvents = `
SELECT id, consumer, stream_seq, subject, headers, body, reason, received_at, redriven_at
FROM dead_events
WHERE ($1 OR redriven_at IS NULL) AND ($2::bigint = 0 OR id = $2)
ORDER BY id LIMIT $3`

// DeadEvents lists dead events, those that were redriven only if asked for; id 0 is all.
func (db *DB) DeadEvents(ctx context.Context, redriven bool, id int64, limit int) ([]DeadEvent, error) {
	rows, err := db.pool.Query(ctx, selectDeadEvents, redriven, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	dead, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadEvent])
	if err != nil {
		return nil, fmt.Errorf("list dead events: %w", err)
	}
	return dead, nil
}

const markRedriven = `UPDATE dead_events SET redriven_at = now() WHERE id = $1 AND redriven_at IS NULL`

// MarkRedriven notes that a dead event was carried out after all; twice is ErrConflict.
func MarkRedriven(ctx context.Context, tx pgx.Tx, id int64) error {
	tag, err := tx.Exec(ctx, markRedriven, id)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return fmt.Errorf("mark dead event %d: %w", id, err)
	}
	return nil
}
