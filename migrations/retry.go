package migrations

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A task is a part of a run that may be tried again: what an earlier try did, it finds done.
type task func(context.Context, *session) error

// try runs a task, again and again while a lock can't be had or the database is away, within patience. A
// try waits for a lock for a short time only.
func (r *run) try(ctx context.Context, what string, do task) error {
	return r.tryWith(ctx, what, r.lockTimeout, do)
}

// tryConcurrently gives each try more time than the last, as an index that is made concurrently keeps
// nobody waiting, and a try that is given up was a scan of the table for nothing.
func (r *run) tryConcurrently(ctx context.Context, what string, do task) error {
	return r.tryWith(ctx, what, 12*r.lockTimeout, do)
}

func (r *run) tryWith(ctx context.Context, what string, most time.Duration, do task) error {
	timeout := r.lockTimeout
	for wait := r.newWait(); ; {
		blockers, err := r.once(ctx, what, timeout, do)
		if err == nil {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case isBlocked(err):
			r.say(what+" blocked "+pids(blockers), "%s: could not have its lock within %s%s; tries again", what, timeout, because(blockers))
		case isAway(err):
			r.say(what+" away", "%s: the database is away (%v); tries again", what, err)
		default:
			return fmt.Errorf("%s: %w", what, err)
		}
		timeout = min(2*timeout, most)
		pause := wait.next(ctx)
		if errors.Is(pause, errPatience) && isBlocked(err) {
			return fmt.Errorf("%s: gave up after %s%s: %w", what, r.Patience, advice(blockers), err)
		}
		if pause != nil {
			return fmt.Errorf("%s: %w: %w", what, pause, err)
		}
	}
}

func because(blockers []other) string {
	if len(blockers) == 0 {
		return ""
	}
	return ", because of " + names(blockers)
}

func advice(blockers []other) string {
	if len(blockers) == 0 {
		return ""
	}
	end := fmt.Sprintf("SELECT pg_terminate_backend(%d)", blockers[0].PID)
	if blockers[0].PID == 0 {
		end = "ROLLBACK PREPARED"
	}
	return fmt.Sprintf(", blocked by %s; wait until that is over or end it with %s, then migrate again", names(blockers), end)
}

// once is one try. It returns who was in the way last.
func (r *run) once(ctx context.Context, what string, lockTimeout time.Duration, do task) ([]other, error) {
	if err := r.again(ctx); err != nil {
		return nil, err
	}
	s, err := r.sessionWith(ctx, lockTimeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan []other, 1)
	done := make(chan struct{})
	go func() {
		blockers, err := r.watch(ctx, what, s, done)
		if err != nil {
			cancel(err)
		}
		watched <- blockers
	}()
	err = do(ctx, s)
	close(done)
	blockers := <-watched
	if err != nil && errors.Is(context.Cause(ctx), errLockLost) {
		err = context.Cause(ctx)
	}
	if err != nil {
		r.closeSession()
	}
	return blockers, err
}

func (r *run) sessionWith(ctx context.Context, lockTimeout time.Duration) (*session, error) {
	if r.session != nil && r.session.lockTimeout == lockTimeout {
		return r.session, nil
	}
	r.closeSession()
	var err error
	r.session, err = r.open(ctx, lockTimeout)
	return r.session, err
}

func (r *run) closeSession() {
	if r.session != nil {
		r.session.close()
		r.session = nil
	}
}

// again has the lock once more where its session was lost.
func (r *run) again(ctx context.Context) error {
	if r.lock != nil && !r.lock.IsClosed() {
		if r.lock.Ping(ctx) == nil {
			return nil
		}
	}
	r.closeLock(ctx)
	if err := r.connectLock(ctx); err != nil {
		return err
	}
	return r.takeLock(ctx)
}

// Codes of Postgres, from its table of error codes.
const (
	lockNotAvailable = "55P03"
	deadlockDetected = "40P01"
	tooManyClients   = "53300"
	classConnection  = "08"
	classShutdown    = "57P"
)

// isBlocked recognises a try that gave way to others.
func isBlocked(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == lockNotAvailable || refused.Code == deadlockDetected)
}

// errLockLost is the end of the session that held the lock; somebody else may have it by now.
var errLockLost = errors.New("the session with the migration lock was lost")

// isAway recognises a database that restarts, or a connection to it that broke.
func isAway(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == tooManyClients || strings.HasPrefix(refused.Code, classConnection) ||
			strings.HasPrefix(refused.Code, classShutdown)
	}
	var network net.Error
	if errors.As(err, &network) || pgconn.SafeToRetry(err) {
		return true
	}
	for _, broken := range []error{errLockLost, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}
