package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
)

// SystemFigures are how the whole installation does at a moment, for the operator.
type SystemFigures struct {
	Server  ServerFigures
	Queues  []QueueFigures  // by name
	Workers []WorkerProcess // that said so lately that they live, by id
	Events  EventFigures
	Backups BackupStanding
	// Webhooks are how deliveries stand.
	Webhooks WebhookStanding
}

// ServerFigures are what the database says of itself.
type ServerFigures struct {
	Version        string
	InRecovery     bool // it follows another and takes no writes
	MaxConnections int
	Reserved       int // of those, for superusers and other reserved roles
	Connections    int // of clients, over all databases of the server
	// States counts these by what they are at; nil: the login is not shown what all of them do. It sees those of
	// others as a member of pg_monitor alone.
	States map[string]int
	Blocks DatabaseBlocks
	// Statements says that the extension pg_stat_statements is there.
	Statements bool
}

// DatabaseBlocks are how often the database found a block in its own cache, since its statistics began.
type DatabaseBlocks struct {
	At    time.Time
	Since time.Time // the zero time: never begun anew
	Hit   int64
	Read  int64 // asked of the operating system
}

// Where the counting of what waits ends: nobody wants to wait for the exact number of too many.
const (
	MostJobsCounted   = 100_000 // of a queue in a state
	MostMailsCounted  = 100_000 // in a state, and addresses that get none
	MostEventsCounted = 10_000
)

// QueueFigures are what waits and works in a queue of River's.
type QueueFigures struct {
	Queue    string     `db:"queue"`
	PausedAt *time.Time `db:"paused_at"`
	// Jobs by state, MostJobsCounted at most of each.
	Available int64 `db:"available"` // due
	Running   int64 `db:"running"`
	Retryable int64 `db:"retryable"` // will be tried again
	Scheduled int64 `db:"scheduled"` // later, or waiting for something that is away
	Pending   int64 `db:"pending"`
	// OldestSeconds is how long the oldest that is due has been so; nil: none is.
	OldestSeconds *float64 `db:"oldest_seconds"`
}

// EventFigures are how far facts have come on their way.
type EventFigures struct {
	Epoch              string    // of the outbox
	BegunAt            time.Time // the epoch: a new installation, or one that was restored
	Unrouted           int64     // behind the router, MostEventsCounted at most
	OldestUnrouted     float64   // seconds
	Unpublished        *int64    // behind the relay, the same; nil: nobody could say where the stream ends
	OldestUnpublished  float64   // seconds
	Dead               int64     // that could not be read, and wait for an operator; MostEventsCounted at most
	RouterSeq          uint64    // where the router is in the stream; 0: it has routed nothing yet
	RouterMovedAt      time.Time // when it last moved
	RouterInOtherEpoch bool      // it has yet to begin this life of the outbox
}

// actAsLogin lets one transaction see as the login what the sessions of the login do: to our roles Postgres doesn't
// show it.
const actAsLogin = `SELECT set_config('role', 'none', true)`

// boundFigures keeps a question for figures from becoming a load itself.
const boundFigures = `SELECT set_config('statement_timeout', '3000', true)`

const selectServer = `
SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0),
       EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'), ` + databaseBlocks

const databaseBlocks = `now(), coalesce(d.stats_reset, '0001-01-01 00:00:00Z'), d.blks_hit, d.blks_read
FROM pg_stat_database d WHERE d.datname = current_database()`

// Of sessions that the login may not look into even the kind is hidden; one with a login and a database is a
// client's. A client's state is never null where it may be seen, unless the server keeps track of none.
const selectConnections = `
SELECT coalesce(state, ''), count(*)::int FROM pg_stat_activity
WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY 1`

// Each count ends at a limit, and each is a walk of the index by which River fetches: however many jobs are finished,
// they are not looked at.
const selectQueues = `
WITH wanted AS (SELECT unnest($1::text[]) AS queue UNION SELECT name FROM river_queue)
SELECT w.queue, q.paused_at,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'available' AND j.queue = w.queue LIMIT $2) x) AS available,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'running' AND j.queue = w.queue LIMIT $2) x) AS running,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'retryable' AND j.queue = w.queue LIMIT $2) x) AS retryable,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'scheduled' AND j.queue = w.queue LIMIT $2) x) AS scheduled,
       (SELECT count(*) FROM (SELECT FROM river_job j WHERE j.state = 'pending' AND j.queue = w.queue LIMIT $2) x) AS pending,
       (SELECT extract(epoch FROM now() - min(first.scheduled_at))::float8
        FROM generate_series(1, 4) AS p, LATERAL (
            SELECT j.scheduled_at FROM river_job j
            WHERE j.state = 'available' AND j.queue = w.queue AND j.priority = p AND j.scheduled_at <= now()
            ORDER BY j.scheduled_at LIMIT 1) AS first) AS oldest_seconds
FROM wanted w LEFT JOIN river_queue q ON q.name = w.queue ORDER BY w.queue`

const selectWorkersAlive = `
SELECT id, host, pid, queues, kinds, version, started_at, heartbeat_at, providers FROM worker_processes
WHERE heartbeat_at > clock_timestamp() - $1::interval ORDER BY id`

// A worker is dead after five beats that it missed.
const workerSilence = 10 * time.Second

// In an epoch in which the router has not routed anything yet, all since its beginning waits.
const selectEventFigures = `
WITH present AS (
    SELECT epoch, started_xid, started_at FROM outbox_epochs ORDER BY started_at DESC LIMIT 1
), router AS (
    SELECT epoch, xid, id, stream_seq, updated_at FROM consumer_positions WHERE consumer = 'router'
), behind AS (
    SELECT coalesce(router.xid, present.started_xid) AS xid, coalesce(router.id, 0) AS id
    FROM present LEFT JOIN router ON router.epoch = present.epoch
)
SELECT (SELECT epoch::text FROM present), (SELECT started_at FROM present), waiting.n, waiting.seconds,
       (SELECT count(*) FROM (SELECT FROM dead_events WHERE redriven_at IS NULL LIMIT $1) AS dead),
       coalesce((SELECT stream_seq FROM router), 0), coalesce((SELECT updated_at FROM router), '0001-01-01 00:00:00Z'),
       coalesce((SELECT router.epoch <> present.epoch FROM router, present), false)
FROM (
    SELECT count(*) AS n, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS seconds
    FROM (SELECT created_at FROM outbox, behind WHERE (outbox.xid, outbox.id) > (behind.xid, behind.id)
          ORDER BY outbox.xid, outbox.id LIMIT $1) AS part
) AS waiting`

const selectUnpublished = `
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
FROM (SELECT created_at FROM outbox
      WHERE (xid, id) > (greatest($1::text::xid8, (SELECT started_xid FROM outbox_epochs ORDER BY started_at DESC LIMIT 1)), $2)
      ORDER BY xid, id LIMIT $3) AS part`

// SystemFigures looks, in one round trip, at the server, at queues whether they have jobs or not, at workers, events
// and backups. Published is where the stream ends, without an epoch when it is empty; nil: nobody knows.
func (db *DB) SystemFigures(ctx context.Context, queues []string, published *events.Position) (SystemFigures, error) {
	var f SystemFigures
	b := &pgx.Batch{}
	b.Queue(boundFigures)
	b.Queue(actAsLogin)
	queueServer(b, &f.Server)
	b.Queue(actAsOperator)
	b.Queue(selectQueues, queues, MostJobsCounted).Query(func(rows pgx.Rows) (err error) {
		f.Queues, err = pgx.CollectRows(rows, pgx.RowToStructByName[QueueFigures])
		return err
	})
	b.Queue(selectWorkersAlive, workerSilence).Query(func(rows pgx.Rows) (err error) {
		f.Workers, err = pgx.CollectRows(rows, pgx.RowToStructByName[WorkerProcess])
		return err
	})
	queueEvents(b, &f.Events, published)
	b.Queue(backupStanding).Query(func(rows pgx.Rows) (err error) {
		f.Backups, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BackupStanding])
		return err
	})
	queueWebhookStanding(b, &f.Webhooks)
	if err := db.Send(ctx, b); err != nil {
		return f, fmt.Errorf("read the figures of the system: %w", becoming(System, err))
	}
	return f, nil
}

func queueServer(b *pgx.Batch, s *ServerFigures) {
	b.Queue(selectServer).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.Version, &s.InRecovery, &s.MaxConnections, &s.Reserved, &s.Statements,
			&s.Blocks.At, &s.Blocks.Since, &s.Blocks.Hit, &s.Blocks.Read)
	})
	b.Queue(selectConnections).Query(func(rows pgx.Rows) error {
		s.States = make(map[string]int)
		var state string
		var n int
		_, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error {
			s.Connections += n
			s.States[state] = n
			return nil
		})
		if _, hidden := s.States[""]; hidden {
			s.States = nil
		}
		return err
	})
}

func queueEvents(b *pgx.Batch, e *EventFigures, published *events.Position) {
	b.Queue(selectEventFigures, MostEventsCounted).QueryRow(func(row pgx.Row) error {
		var seq int64
		err := row.Scan(&e.Epoch, &e.BegunAt, &e.Unrouted, &e.OldestUnrouted, &e.Dead, &seq, &e.RouterMovedAt, &e.RouterInOtherEpoch)
		e.RouterSeq = uint64(seq)
		return err
	})
	if published == nil {
		return
	}
	b.Queue(selectUnpublished, strconv.FormatUint(published.XID, 10), published.ID, MostEventsCounted).QueryRow(func(row pgx.Row) error {
		var n int64
		err := row.Scan(&n, &e.OldestUnpublished)
		// Places in another life of the outbox can't be compared with those of this one.
		if published.Epoch == "" || published.Epoch == e.Epoch {
			e.Unpublished = &n
		}
		return err
	})
}

const selectDatabaseBlocks = `SELECT ` + databaseBlocks

// DatabaseBlocks samples how often the database finds what it needs in its own cache. Two samples tell how it was
// between them.
func (db *DB) DatabaseBlocks(ctx context.Context) (DatabaseBlocks, error) {
	var s DatabaseBlocks
	b := &pgx.Batch{}
	b.Queue(selectDatabaseBlocks).QueryRow(func(row pgx.Row) error { return row.Scan(&s.At, &s.Since, &s.Hit, &s.Read) })
	if err := db.Send(ctx, b); err != nil {
		return s, fmt.Errorf("sample the cache of the database: %w", err)
	}
	return s, nil
}
