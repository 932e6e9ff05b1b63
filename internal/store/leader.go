package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Leader is one of several processes of which one at a time does a thing. It leads while its session
// holds an advisory lock. The lock spares the others the work; what keeps two from doing it twice, when
// one only believes that it leads, must be something else.
type Leader struct {
	Pool *pgxpool.Pool
	Lock int64
	Name string // in logs and errors: "relay"
	Log  *slog.Logger
	// Alive hears of each turn that it stands by or begins anew; nil: nobody does. Who leads tells of its own turns.
	Alive func()
}

const (
	// How often a stand-by asks for the lock.
	standByEvery = time.Second
	// After a session broke: first and longest pause before the next.
	leadAgainFirst, leadAgainMost = 100 * time.Millisecond, 2 * time.Second
	// A session that lasted so long had begun well.
	ledWell = 5 * time.Second
)

// A host that froze or fell off the network would hold the lock for hours, so a session that asks nothing
// for this long is over; in the middle of a transaction, the pool's own limit ends it. Who leads must ask more
// often than that.
const endSilentSession = `SET idle_session_timeout = '12s'`

// Run leads until ctx ends, again and again: what goes wrong is logged and tried again. lead works on the
// connection that holds the lock, so that a leader that has lost the one has lost the other.
func (l Leader) Run(ctx context.Context, lead func(context.Context, *pgx.Conn) error) error {
	wait := leadAgainFirst
	for {
		l.alive()
		began := time.Now()
		err := l.session(ctx, lead)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > ledWell {
			wait = leadAgainFirst
		}
		l.Log.Warn(l.Name+" starts again", "error", err, "in_ms", wait.Milliseconds())
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, leadAgainMost)
	}
}

func (l Leader) session(ctx context.Context, lead func(context.Context, *pgx.Conn) error) error {
	pooled, err := l.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	// The lock must not go back into the pool with the connection.
	conn := pooled.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if err := l.take(ctx, conn); err != nil {
		return fmt.Errorf("ask for the lock of the %s: %w", l.Name, err)
	}
	return lead(ctx, conn)
}

// take waits until this process leads.
func (l Leader) take(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, endSilentSession); err != nil {
		return err
	}
	for standing := false; ; standing = true {
		var got bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, l.Lock).Scan(&got); err != nil || got {
			return err
		}
		if !standing {
			l.Log.Info(l.Name+" stands by", "reason", "another "+l.Name+" is active")
		}
		l.alive()
		if err := pause(ctx, standByEvery); err != nil {
			return err
		}
	}
}

func (l Leader) alive() {
	if l.Alive != nil {
		l.Alive()
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
