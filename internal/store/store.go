// Package store is the SQL on our own tables, one file a table. Requests run as a role that sees one
// organization at a time; relay, router and workers run as a role that sees all. Neither owns a table.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Role is what a connection may do.
type Role string

// The roles that the first migration makes.
const (
	App    Role = "payaid_app"    // requests of clients, under row-level security
	System Role = "payaid_system" // relay, router, workers, operator
)

// PoolOptions say how connections are made and how many.
type PoolOptions struct {
	URL         string
	Role        Role
	Name        string        // application_name, so that pg_stat_activity tells processes apart
	MaxConns    int           // 0: 30
	Base        int           // how many of them are for the usual load, the others for bursts; 0: all
	AcquireWait time.Duration // how long a caller waits for a free connection; 0: 30 s
	// Commits return before the log is on disk. Only for bookkeeping that may be repeated after a crash:
	// a later durable commit on any connection carries everything before it.
	Relaxed bool
	Tracer  pgx.QueryTracer
	Log     *slog.Logger // of queries that take long; nil: nobody is told
	// OnSlow hears how long each query took that took long, those included that the log leaves out; nil: nobody
	// does. It runs where the query ran, so it must be quick.
	OnSlow func(took time.Duration)
}

// ErrBusy means that every connection stayed in use for as long as a caller may wait.
var ErrBusy = errors.New("no free database connection")

// ErrNoConnection means that no connection could be made.
var ErrNoConnection = errors.New("connect to the database")

// ErrNotFound means that there is no such row, or none that the organization may see.
var ErrNotFound = errors.New("not found")

// ErrConflict means that the row is no longer in the state that the change needs.
var ErrConflict = errors.New("changed meanwhile")

// DB is a pool of connections of one role.
type DB struct {
	pool     *pgxpool.Pool
	wait     time.Duration
	base     int
	timeouts atomic.Int64
}

// Open makes a pool. It connects when it is first used; Ping tells whether it can.
func Open(ctx context.Context, o PoolOptions) (*DB, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if o.MaxConns == 0 {
		o.MaxConns = 30
	}
	if o.Base == 0 || o.Base > o.MaxConns {
		o.Base = o.MaxConns
	}
	if o.AcquireWait == 0 {
		o.AcquireWait = 30 * time.Second
	}
	config.MaxConns = int32(o.MaxConns)
	config.MinIdleConns = int32(min(2, o.MaxConns))
	config.MaxConnIdleTime = 5 * time.Minute
	config.MaxConnLifetimeJitter = 6 * time.Minute
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.Tracer = o.tracer()
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = o.Name
	params["timezone"] = "UTC"
	// Whoever froze in the middle of a transaction holds back the events of all others: the relay publishes
	// what lies before the oldest that is open.
	params["idle_in_transaction_session_timeout"] = "10000"
	// The server notices within half a minute that our host is gone, and lets go of its locks.
	params["tcp_keepalives_idle"], params["tcp_keepalives_interval"], params["tcp_keepalives_count"] = "10", "5", "3"
	params["tcp_user_timeout"] = "20000"
	if o.Relaxed {
		params["synchronous_commit"] = "off"
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET ROLE "+pgx.Identifier{string(o.Role)}.Sanitize())
		if err != nil {
			return fmt.Errorf("become %s: %w", o.Role, becoming(o.Role, err))
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return &DB{pool: pool, wait: o.AcquireWait, base: o.Base}, nil
}

// Close waits for connections in use and closes all.
func (db *DB) Close() { db.pool.Close() }

// Pool is the pool itself, for libraries that want one.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Ping asks the database for a sign of life.
func (db *DB) Ping(ctx context.Context) error {
	return db.with(ctx, func(conn *pgxpool.Conn) error { return conn.Ping(ctx) })
}

const setOrganization = `SELECT set_config('app.organization_id', $1, true)`

// Tx runs do in a transaction that sees everything its role may see.
func (db *DB) Tx(ctx context.Context, do func(pgx.Tx) error) error {
	return db.txOf(ctx, pgx.TxOptions{}, do)
}

func (db *DB) txOf(ctx context.Context, o pgx.TxOptions, do func(pgx.Tx) error) error {
	return db.with(ctx, func(conn *pgxpool.Conn) error { return pgx.BeginTxFunc(ctx, conn, o, do) })
}

// TxAs runs do in a transaction that sees one organization.
func (db *DB) TxAs(ctx context.Context, organizationID string, do func(pgx.Tx) error) error {
	return db.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setOrganization, organizationID); err != nil {
			return fmt.Errorf("choose the organization: %w", err)
		}
		return do(tx)
	})
}

// BatchAs begins a batch that sees one organization. Sent by Send it is one transaction and one round
// trip.
func BatchAs(organizationID string) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(setOrganization, organizationID)
	return b
}

// Send runs a batch as one transaction. Results go to the callbacks of the queued queries.
func (db *DB) Send(ctx context.Context, b *pgx.Batch) error {
	return db.with(ctx, func(conn *pgxpool.Conn) error { return conn.SendBatch(ctx, b).Close() })
}

// queryAs runs one read as an organization in one round trip.
func (db *DB) queryAs(ctx context.Context, organizationID string, read func(pgx.Rows) error, sql string, args ...any) error {
	b := BatchAs(organizationID)
	b.Queue(sql, args...).Query(read)
	return db.Send(ctx, b)
}

// An Execer runs a statement: a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// notFound gives pgx's answer for an empty result our name.
func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// IsDataError reports whether Postgres refused what it was given, as it would again: a text that it can't
// store, or a value that a constraint forbids.
func IsDataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23"))
}

// IsRefusal reports whether Postgres answered that it can't do what it was asked, other than for a reason
// that passes: a lost connection (class 08), a deadlock (40), want of resources (53), a lock (55), an
// operator (57).
func IsRefusal(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "55", "57":
		return false
	}
	return true
}

// IsUniqueViolation reports whether err is a duplicate under the named constraint or index.
func IsUniqueViolation(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == constraint
}
