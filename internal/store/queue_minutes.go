package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A QueueMinute is how a queue did in a minute, or an hour of minutes. What is nil nobody measured.
type QueueMinute struct {
	At        time.Time        `db:"at"`
	Queue     string           `db:"queue"`
	Samples   int              `db:"samples"` // looks at the queue
	Available *int64           `db:"available"`
	Running   *int64           `db:"running"`
	Later     *int64           `db:"later"`
	OldestMS  *int64           `db:"oldest_ms"`
	Workers   *int             `db:"workers"`
	Places    *int             `db:"places"`
	Outcomes  map[string]int64 `db:"outcomes"`
	Waits     json.RawMessage  `db:"waits"`
	Runs      json.RawMessage  `db:"runs"`
}

// A Span is how long one row of figures is about.
type Span string

// The spans. Minutes are kept for a week, hours for three months.
const (
	Minutes Span = "minute"
	Hours   Span = "hour"
)

const queueMinuteColumns = `SELECT at, queue, samples, available, running, later, oldest_ms, workers, places, outcomes, waits, runs FROM `

const betweenOfQueue = ` WHERE at >= $1 AND at < $2 AND ($3 = '' OR queue = $3) ORDER BY at, queue`

const (
	selectQueueMinutes = queueMinuteColumns + `queue_minutes` + betweenOfQueue
	selectQueueHours   = queueMinuteColumns + `queue_hours` + betweenOfQueue
)

// QueueMinutes gives the rows of a queue in a stretch of time, oldest first; "": those of all queues.
func QueueMinutes(ctx context.Context, db Execer, span Span, queue string, from, until time.Time) ([]QueueMinute, error) {
	sql := selectQueueMinutes
	if span == Hours {
		sql = selectQueueHours
	}
	rows, err := db.Query(ctx, sql, from, until, queue)
	if err != nil {
		return nil, fmt.Errorf("read the %ss of queues: %w", span, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[QueueMinute])
	if err != nil {
		return nil, fmt.Errorf("read the %ss of queues: %w", span, err)
	}
	return list, nil
}

const kindMinuteColumns = `SELECT at, kind, queue, outcomes, runs FROM `

const betweenOfKind = ` WHERE at >= $1 AND at < $2 AND ($3 = '' OR kind = $3) ORDER BY at, kind`

const (
	selectKindMinutes = kindMinuteColumns + `kind_minutes` + betweenOfKind
	selectKindHours   = kindMinuteColumns + `kind_hours` + betweenOfKind
)

// KindMinutes gives the rows of a kind in a stretch of time, oldest first; "": those of all kinds.
func KindMinutes(ctx context.Context, db Execer, span Span, kind string, from, until time.Time) ([]KindWork, error) {
	sql := selectKindMinutes
	if span == Hours {
		sql = selectKindHours
	}
	rows, err := db.Query(ctx, sql, from, until, kind)
	if err != nil {
		return nil, fmt.Errorf("read the %ss of kinds: %w", span, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[KindWork])
	if err != nil {
		return nil, fmt.Errorf("read the %ss of kinds: %w", span, err)
	}
	return list, nil
}

const putQueueHour = `
INSERT INTO queue_hours (at, queue, samples, available, running, later, oldest_ms, workers, places, outcomes, waits, runs)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (at, queue) DO UPDATE SET samples = excluded.samples, available = excluded.available, running = excluded.running,
    later = excluded.later, oldest_ms = excluded.oldest_ms, workers = excluded.workers, places = excluded.places,
    outcomes = excluded.outcomes, waits = excluded.waits, runs = excluded.runs`

const putKindHour = `
INSERT INTO kind_hours (at, kind, queue, outcomes, runs) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (at, kind) DO UPDATE SET queue = excluded.queue, outcomes = excluded.outcomes, runs = excluded.runs`

// PutHours notes hours, instead of what was noted of them before.
func (db *DB) PutHours(ctx context.Context, queues []QueueMinute, kinds []KindWork) error {
	b := &pgx.Batch{}
	for _, q := range queues {
		b.Queue(putQueueHour, q.At, q.Queue, q.Samples, q.Available, q.Running, q.Later, q.OldestMS, q.Workers, q.Places,
			q.Outcomes, q.Waits, q.Runs)
	}
	for _, k := range kinds {
		b.Queue(putKindHour, k.At, k.Kind, k.Queue, k.Outcomes, k.Runs)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("note the hours of queues: %w", err)
	}
	return nil
}

const (
	dropQueueMinutes = `DELETE FROM queue_minutes WHERE at < now() - interval '7 days'`
	dropKindMinutes  = `DELETE FROM kind_minutes WHERE at < now() - interval '7 days'`
	dropQueueHours   = `DELETE FROM queue_hours WHERE at < now() - interval '90 days'`
	dropKindHours    = `DELETE FROM kind_hours WHERE at < now() - interval '90 days'`
)

// DropOldMinutes forgets figures that nobody is shown any more.
func (db *DB) DropOldMinutes(ctx context.Context) error {
	b := &pgx.Batch{}
	for _, sql := range []string{dropQueueMinutes, dropKindMinutes, dropQueueHours, dropKindHours} {
		b.Queue(sql)
	}
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("drop old figures of queues: %w", err)
	}
	return nil
}
