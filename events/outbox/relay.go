package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/events"
)

// lockID is the session advisory lock of the active relay. It spares the stand-by the work; what keeps
// two relays from writing is the fence of the stream.
const lockID int64 = 0x70617961_6964_0002

const (
	// The safety net under a lost wake-up.
	pollEvery = 50 * time.Millisecond
	// How often a stand-by asks for the lock.
	lockEvery = time.Second
	// How often an idle relay looks whether the stream still holds what it published: a stream that lost
	// its end, or was deleted, is filled again without waiting for the next fact.
	tailEvery = 2 * time.Second
	// After a session broke: first and longest pause before the next.
	retryFirst, retryMost = 100 * time.Millisecond, 2 * time.Second
)

// A Relay publishes the outbox to the stream, in order, each event once. Any number may run; one is
// active.
type Relay struct {
	pool   *pgxpool.Pool
	stream Log
	wake   <-chan struct{}
	log    *slog.Logger
}

// NewRelay makes a relay. A receive from wake tells it that a transaction with facts has committed; nil
// leaves it to its poll.
func NewRelay(pool *pgxpool.Pool, s Log, wake <-chan struct{}, log *slog.Logger) *Relay {
	return &Relay{pool: pool, stream: s, wake: wake, log: log}
}

// Run relays until ctx ends; no publish is in flight when it returns. What goes wrong is logged and
// tried again: events wait in the outbox meanwhile.
func (r *Relay) Run(ctx context.Context) error {
	pause := retryFirst
	for {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > 5*time.Second {
			pause = retryFirst
		}
		r.log.Warn("relay starts again", "error", err, "in_ms", pause.Milliseconds())
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, retryMost)
	}
}

// session relays on one connection. The lock lives on it: a relay that loses the connection has lost
// the lock, and can't read on.
func (r *Relay) session(ctx context.Context) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	// The lock must not go back into the pool with the connection.
	own := conn.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = own.Close(ctx)
	}()
	if err := r.lead(ctx, own); err != nil {
		return err
	}
	if err := r.stream.Ensure(ctx); err != nil {
		return err
	}
	for {
		seq, position, err := r.resume(ctx, own)
		if err != nil {
			return err
		}
		r.log.Info("relay publishes", "stream_seq", seq, "outbox_position", position.String())
		err = r.relay(ctx, own, seq, position)
		if ctx.Err() != nil || !errors.Is(err, ErrFenced) && !errors.Is(err, ErrUncertain) {
			return err
		}
		// The stream knows what was stored: look, and go on behind it.
		r.log.Warn("relay reads the end of the stream again", "error", err)
		if err := wait(ctx, retryFirst); err != nil {
			return err
		}
	}
}

// A host that froze or fell off the network would hold the lock for hours, so a session that asks nothing
// for this long is over. An active relay asks many times a second, and a publish takes half as long at
// most.
const endSilentSession = `SET idle_session_timeout = '20s'`

// lead waits until this relay is the active one.
func (r *Relay) lead(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, endSilentSession); err != nil {
		return fmt.Errorf("ask for the relay's lock: %w", err)
	}
	for standing := false; ; {
		var got bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, lockID).Scan(&got); err != nil {
			return fmt.Errorf("ask for the relay's lock: %w", err)
		}
		if got {
			return nil
		}
		if !standing {
			r.log.Info("relay stands by", "reason", "another relay is active")
			standing = true
		}
		if err := wait(ctx, lockEvery); err != nil {
			return err
		}
	}
}

// relay publishes what is pending, batch by batch, until something fails.
func (r *Relay) relay(ctx context.Context, conn *pgx.Conn, seq uint64, position events.Position) error {
	const heldFirst, heldMost = time.Millisecond, 20 * time.Millisecond
	pause := heldFirst
	looked := time.Now()
	for {
		entries, held, err := pending(ctx, conn, position, maxBatch)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if seq, err = r.stream.Publish(ctx, seq, entries); err != nil {
				return err
			}
			position = entries[len(entries)-1].Position
			pause, looked = heldFirst, time.Now()
			continue
		}
		if held {
			if err := wait(ctx, pause); err != nil {
				return err
			}
			pause = min(2*pause, heldMost)
			continue
		}
		pause = heldFirst
		if time.Since(looked) >= tailEvery {
			if err := r.endsAt(ctx, seq); err != nil {
				return err
			}
			looked = time.Now()
		}
		if err := r.idle(ctx); err != nil {
			return err
		}
	}
}

// endsAt looks whether the stream still ends where this relay wrote last.
func (r *Relay) endsAt(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, retryMost)
	defer cancel()
	last, err := r.stream.Tail(ctx)
	if err == nil && last.Seq != seq {
		err = fmt.Errorf("%w: it ends at %d, not at %d", ErrFenced, last.Seq, seq)
	}
	return err
}

// idle returns when there may be something to do.
func (r *Relay) idle(ctx context.Context) error {
	poll := time.NewTimer(pollEvery)
	defer poll.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.wake:
	case <-poll.C:
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
