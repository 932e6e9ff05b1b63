package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/events"
)

// NewEpoch begins a new life of the outbox, after the database was restored from a copy by tools of others: transaction
// numbers have begun again, so positions of before mean nothing any more. It needs no log: what the router had not
// carried out when the copy was taken, and all that came since the copy is in use, is put behind the beginning of the new
// life, to be published and carried out once, whether or not the log has it; ids stay as they were. Everything that the
// log has of earlier lives is passed over from then on, as what happened after the copy was taken is unknown here. It
// returns how many events are published anew. The relays have to be stopped, or stuck over the restored copy.
func NewEpoch(ctx context.Context, pool *pgxpool.Pool, reason string) (again int, err error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("connect to the database: %w", err)
	}
	// The lock must not go back into the pool with the connection.
	conn := pooled.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if err := keepRelaysOut(ctx, conn); err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		again, err = beginAgain(ctx, tx, reason)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("begin a new epoch of the outbox: %w", err)
	}
	return again, nil
}

// keepRelaysOut takes the relays' lock. One that is stuck lets go of it between its attempts.
func keepRelaysOut(ctx context.Context, conn *pgx.Conn) error {
	const patience, every = 15 * time.Second, 20 * time.Millisecond
	for began := time.Now(); ; {
		var got bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, RelayLock).Scan(&got); err != nil {
			return fmt.Errorf("ask for the relay's lock: %w", err)
		}
		if got {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("a relay is at work and has not let go within %s: stop all relays, and try again", patience)
		}
		if err := wait(ctx, every); err != nil {
			return err
		}
	}
}

// A clock that was set back must not make the new epoch look older than the last.
const insertEpoch = `
INSERT INTO outbox_epochs (reason, started_at)
SELECT $1, greatest(clock_timestamp(), max(started_at) + interval '1 microsecond') FROM outbox_epochs
RETURNING started_xid::text`

// Rows with a number that this cluster has yet to give would come up again when it is given. Behind the
// beginning of every epoch they stay in the outbox's week, and are done.
const retire = `UPDATE outbox SET xid = '0' WHERE event_id = ANY($1::uuid[])`

const appendAgain = `
UPDATE outbox o SET xid = pg_current_xact_id(), id = missing.n
FROM (SELECT xid, id, created_at, row_number() OVER (ORDER BY xid, id) AS n
      FROM outbox WHERE event_id = ANY($1::uuid[])) missing
WHERE o.xid = missing.xid AND o.id = missing.id AND o.created_at = missing.created_at`

func beginAgain(ctx context.Context, tx pgx.Tx, reason string) (int, error) {
	before, err := currentEpoch(ctx, tx)
	if err != nil {
		return 0, err
	}
	var started string
	if err := tx.QueryRow(ctx, insertEpoch, reason).Scan(&started); err != nil {
		return 0, err
	}
	xid, err := strconv.ParseUint(started, 10, 64)
	if err != nil {
		return 0, err
	}
	if err := outlive(ctx, tx, xid); err != nil {
		return 0, err
	}
	missing, done, err := sortOut(ctx, tx, before, xid)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, retire, done); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, appendAgain, missing); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, beginAtEpoch, Router); err != nil {
		return 0, err
	}
	return len(missing), nil
}

// outlive waits until every transaction that began before this one has ended. What such a one appends
// lies before the beginning of the new epoch, so it must be seen now or it would never be published.
func outlive(ctx context.Context, tx pgx.Tx, xid uint64) error {
	const patience, every = 30 * time.Second, 10 * time.Millisecond
	for began := time.Now(); ; {
		var oldest string
		err := tx.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`).Scan(&oldest)
		if err != nil {
			return err
		}
		if n, err := strconv.ParseUint(oldest, 10, 64); err != nil || n >= xid {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("transaction %s has been open for more than %s: end it, and try again", oldest, patience)
		}
		if err := wait(ctx, every); err != nil {
			return err
		}
	}
}

// A router at work moves on between two looks at its position, unless the row is held.
const lockRouted = `SELECT updated_at FROM consumer_positions WHERE consumer = $1 FOR UPDATE`

// sortOut reads what has to be published in the new epoch, and what is done but has a number from where
// the new epoch begins on.
func sortOut(ctx context.Context, tx pgx.Tx, before epoch, xid uint64) (missing, done []string, err error) {
	var movedAt time.Time
	if err := tx.QueryRow(ctx, lockRouted, Router).Scan(&movedAt); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, fmt.Errorf("hold the router's position: %w", err)
	}
	routed, err := routed(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	rows, err := tx.Query(ctx, `SELECT event_id::text, xid::text, id, created_at FROM outbox`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, number string
		var created time.Time
		p := events.Position{Epoch: before.start.Epoch}
		if err := rows.Scan(&id, &number, &p.ID, &created); err != nil {
			return nil, nil, err
		}
		if p.XID, err = strconv.ParseUint(number, 10, 64); err != nil {
			return nil, nil, err
		}
		// What was undone when the last epoch began was put behind its beginning. Neither there nor for the router's
		// position does the number alone tell: since the restore, the younger cluster gives lower ones.
		carriedOut := p.XID < before.start.XID && created.Before(before.startedAt) ||
			routed.Epoch == before.start.Epoch && !p.After(routed) && !created.After(movedAt)
		switch {
		case !carriedOut:
			missing = append(missing, id)
		case p.XID >= xid:
			done = append(done, id)
		}
	}
	return missing, done, rows.Err()
}
