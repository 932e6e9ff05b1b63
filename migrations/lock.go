package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// LockID is the session advisory lock that a migration holds. Whoever takes a dump holds it too, as
// an index made concurrently would wait for the dump's snapshot and time out half built.
const LockID int64 = 0x70617961_6964_0001

// locked runs do while the lock is held.
func (r *run) locked(ctx context.Context, do func(context.Context) error) error {
	if err := r.connectLock(ctx); err != nil {
		return err
	}
	defer r.closeLock(ctx)
	defer r.closeSession()
	if err := r.takeLock(ctx); err != nil {
		return err
	}
	return do(ctx)
}

func (r *run) connectLock(ctx context.Context) error {
	config, err := r.config(r.lockTimeout)
	if err != nil {
		return err
	}
	if r.lock, err = pgx.ConnectConfig(ctx, config.ConnConfig); err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	return nil
}

// closeLock gives the lock back: it is the session's.
func (r *run) closeLock(ctx context.Context) {
	if r.lock != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.lockTimeout)
		defer cancel()
		_ = r.lock.Close(ctx) // a session that ends otherwise gives the lock back as well
		r.lock = nil
	}
}

const tryLock = `SELECT pg_try_advisory_lock($1)`

// takeLock polls instead of waiting in pg_advisory_lock: a session that waits there holds a snapshot, and
// CREATE INDEX CONCURRENTLY in the holder would wait for it for ever.
func (r *run) takeLock(ctx context.Context) error {
	for wait := r.newWait(); ; {
		var mine bool
		if err := r.lock.QueryRow(ctx, tryLock, LockID).Scan(&mine); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if mine {
			return nil
		}
		holder, err := r.lockHolder(ctx)
		if err != nil {
			return err
		}
		if holder != "" {
			r.say("lock "+holder, "waits for the backup or migration of %s", holder)
		}
		if err := wait.next(ctx); errors.Is(err, errPatience) {
			return fmt.Errorf("a backup or another migration has been running for the last %s, by %s: wait until it is over, then migrate again",
				r.Patience, holder)
		} else if err != nil {
			return err
		}
	}
}

const lockHolder = `
SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), NULL::float8
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (l.classid::bigint << 32) | l.objid::bigint = $1`

// lockHolder says who has the lock, or nothing when it was given back meanwhile.
func (r *run) lockHolder(ctx context.Context) (string, error) {
	others, err := sessions(ctx, r.lock, lockHolder, LockID)
	if err != nil {
		return "", fmt.Errorf("look for the holder of the migration lock: %w", err)
	}
	return names(others), nil
}

// other is somebody else's session that stands in the way.
type other struct {
	PID  int32
	Name string // application_name
	Age  *float64
}

func (o other) String() string {
	if o.PID == 0 {
		return "a prepared transaction (see pg_prepared_xacts)"
	}
	if o.Age == nil {
		return fmt.Sprintf("pid %d (%s)", o.PID, o.Name)
	}
	return fmt.Sprintf("pid %d (%s, in a transaction for %s)", o.PID, o.Name,
		time.Duration(*o.Age*float64(time.Second)).Round(time.Second))
}

func names(others []other) string {
	var all []string
	for _, o := range others {
		all = append(all, o.String())
	}
	return strings.Join(all, ", ")
}

func pids(others []other) string {
	var all []string
	for _, o := range others {
		all = append(all, fmt.Sprint(o.PID))
	}
	return strings.Join(all, ", ")
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// sessions collects what a query of pid, name and seconds finds.
func sessions(ctx context.Context, db querier, sql string, args ...any) ([]other, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[other])
}
