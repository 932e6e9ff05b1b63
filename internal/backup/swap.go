package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A swap gives a restored database the name that it was restored for, in one transaction: before it commits nothing
// has changed, and afterwards all has. Whoever was connected to the old database is sent away, and nobody gets into
// either while it lasts.
type swap struct {
	conn    *pgx.Conn // to another database
	address string
	fresh   string // what was restored
	name    string // to be given
	before  string // what the present one of that name is called from then on; "": there is none
	// cutover runs while nobody can reach a database of that name.
	cutover func(context.Context) error
	refused []string // statements that somebody with more rights has to say; see inherit
}

// swapWithin bounds how long others wait for the name.
const swapWithin = 30 * time.Second

func (s *swap) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, swapWithin)
	defer cancel()
	var evicting sync.WaitGroup
	evicted, stop := context.WithCancel(ctx)
	evicting.Go(func() { s.evict(evicted) })
	defer evicting.Wait()
	defer stop()
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error { return s.rename(ctx, tx) })
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "42P04": // duplicate_database
		return databaseExists(s.name)
	case errors.As(err, &refused) && refused.Code == "55006": // object_in_use
		return &Fault{Code: Busy, Detail: "somebody stays connected to " + s.name + ": " + refused.Detail, Err: err,
			Remedy: "stop what uses the database (its sessions can be ended by their own login or a superuser alone), then restore again"}
	}
	return serverFault("give the restored database its name "+s.name, err)
}

// rename does both or nothing. Renaming a database locks it: whoever connects waits until the transaction has ended,
// and finds the new one.
func (s *swap) rename(ctx context.Context, tx pgx.Tx) (err error) {
	if s.before != "" {
		if _, err := tx.Exec(ctx, renameSQL(s.name, s.before)); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, renameSQL(s.fresh, s.name)); err != nil {
		return err
	}
	if s.before != "" {
		if s.refused, err = inherit(ctx, tx, s.before, s.name); err != nil {
			return err
		}
	}
	if s.cutover != nil {
		if err := s.cutover(ctx); err != nil {
			return fmt.Errorf("change over to the restored database: %w", err)
		}
	}
	return nil
}

func renameSQL(from, to string) string {
	return `ALTER DATABASE ` + pgx.Identifier{from}.Sanitize() + ` RENAME TO ` + pgx.Identifier{to}.Sanitize()
}

const endSessions = `
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = ANY ($1) AND pid <> pg_backend_pid()`

// evict ends the sessions that keep a database from being renamed, until ctx ends: the lock keeps new ones out only
// once it is being waited for.
func (s *swap) evict(ctx context.Context) {
	conn, err := connectBeside(ctx, s.address)
	if err != nil {
		return // then the rename says that somebody is there
	}
	defer closeConn(ctx, conn)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := conn.Exec(ctx, endSessions, []string{s.name, s.fresh}); err != nil && conn.IsClosed() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func databaseExists(name string) *Fault {
	return &Fault{Code: DatabaseExists, Detail: "there is a database " + name + " already",
		Remedy: "name another, or give --force: then " + name + " is kept under another name, and what is restored takes its place"}
}
