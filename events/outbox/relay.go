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
	"github.com/payaid/payaid/internal/store"
)

// RelayLock is the session advisory lock of the active relay. It spares the stand-by the work; what keeps
// two relays from writing is the fence of the stream.
const RelayLock int64 = 0x70617961_6964_0002

const (
	// The safety net under a lost wake-up.
	pollEvery = 50 * time.Millisecond
	// How often an idle relay looks whether the stream still holds what it published: a stream that lost
	// its end, or was deleted, is filled again without waiting for the next fact.
	tailEvery = 2 * time.Second
	// After a publish whose outcome is open.
	lookAgain = 100 * time.Millisecond
	// A look at the stream's end that takes longer has found a connection that is dead.
	lookAtMost = 5 * time.Second
)

// A Relay publishes the outbox to the stream, in order, each event once. Any number may run; one is
// active.
type Relay struct {
	pool   *pgxpool.Pool
	stream Log
	wake   <-chan struct{}
	alive  func()
	log    *slog.Logger
}

// NewRelay makes a relay. A receive from wake tells it that a transaction with facts has committed; nil
// leaves it to its poll.
func NewRelay(pool *pgxpool.Pool, s Log, wake <-chan struct{}, log *slog.Logger) *Relay {
	return &Relay{pool: pool, stream: s, wake: wake, alive: func() {}, log: log}
}

// Alive has each turn of the relay told, whether it leads or stands by and whether it got anywhere; nil tells nobody.
// Silence means that it hangs.
func (r *Relay) Alive(tell func()) *Relay {
	if tell != nil {
		r.alive = tell
	}
	return r
}

// Run relays until ctx ends; no publish is in flight when it returns. What goes wrong is logged and
// tried again: events wait in the outbox meanwhile.
func (r *Relay) Run(ctx context.Context) error {
	return store.Leader{Pool: r.pool, Lock: RelayLock, Name: "relay", Log: r.log, Alive: r.alive}.Run(ctx, r.lead)
}

// lead relays as the active one. It asks the database many times a second, and a publish takes less than
// the silence that would end its session.
func (r *Relay) lead(ctx context.Context, own *pgx.Conn) error {
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
		if err := wait(ctx, lookAgain); err != nil {
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
		r.alive()
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
	ctx, cancel := context.WithTimeout(ctx, lookAtMost)
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
