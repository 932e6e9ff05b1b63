package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolStats are figures of a pool since it was opened.
type PoolStats struct {
	Base       int // connections for the usual load
	Overflow   int // beyond those, for bursts
	InUse      int
	Idle       int
	BurstInUse int           // of those in use, how many are beyond the base
	Waits      int64         // that ended with a connection
	WaitTime   time.Duration // of these waits together
	Timeouts   int64         // waits that ended with ErrBusy
}

// Stats looks at the pool. Making a connection counts as using it.
func (db *DB) Stats() PoolStats {
	s := db.pool.Stat()
	inUse := int(s.AcquiredConns() + s.ConstructingConns())
	return PoolStats{
		Base: db.base, Overflow: int(s.MaxConns()) - db.base,
		InUse: inUse, Idle: int(s.IdleConns()), BurstInUse: max(0, inUse-db.base),
		Waits: s.EmptyAcquireCount(), WaitTime: s.EmptyAcquireWaitTime(), Timeouts: db.timeouts.Load(),
	}
}

// with lends a connection, waiting for one no longer than the pool allows.
func (db *DB) with(ctx context.Context, do func(*pgxpool.Conn) error) error {
	waiting, cancel := context.WithTimeout(ctx, db.wait)
	conn, err := db.pool.Acquire(waiting)
	cancel()
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			db.timeouts.Add(1)
			return fmt.Errorf("%w within %s", ErrBusy, db.wait)
		}
		return fmt.Errorf("%w: %w", ErrNoConnection, Explain(err))
	}
	defer conn.Release()
	return Explain(do(conn))
}

const (
	burstEvery = 10 * time.Second
	// A burst is over by then; what lasts longer is the usual load, and the base is too small for it.
	burstMost = 5 * time.Minute
)

// WatchBurst warns when connections beyond the base are in use for minutes on end, until ctx ends.
func (db *DB) WatchBurst(ctx context.Context, log *slog.Logger) {
	if db.base >= int(db.pool.Config().MaxConns) {
		return
	}
	watchBurst(ctx, log, db.Stats)
}

func watchBurst(ctx context.Context, log *slog.Logger, look func() PoolStats) {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	since := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := look()
		if s.BurstInUse == 0 {
			since = time.Now()
		} else if time.Since(since) >= burstMost {
			log.Warn("database pool is used beyond its size all the time: raise DB_POOL_SIZE, or add processes",
				"in_use", s.InUse, "size", s.Base, "overflow", s.Overflow, "waits", s.Waits, "timeouts", s.Timeouts)
			since = time.Now()
		}
	}
}
