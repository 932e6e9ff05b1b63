// Package migrations is the schema: numbered SQL files that never change once landed, run together with
// River's own under one advisory lock.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// LockID is the session advisory lock that a migration holds. Whoever takes a dump holds it too, as
// an index made concurrently would wait for the dump's snapshot and time out half built.
const LockID int64 = 0x70617961_6964_0001

// A Step is one migration and whether it has been applied.
type Step struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: pending
}

// Up applies everything pending, River's migrations first, and returns the names of what it applied.
// The login of databaseURL becomes the owner of the tables; it must be allowed to create roles.
func Up(ctx context.Context, databaseURL string) ([]string, error) {
	var applied []string
	err := withLock(ctx, databaseURL, func(pool *pgxpool.Pool, provider *goose.Provider) error {
		river, err := rivermigrate.New(riverpgxv5.New(pool), nil)
		if err != nil {
			return err
		}
		rr, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil)
		if err != nil {
			return fmt.Errorf("migrate river: %w", err)
		}
		for _, v := range rr.Versions {
			applied = append(applied, fmt.Sprintf("river %03d %s", v.Version, v.Name))
		}
		results, err := provider.Up(ctx)
		if err != nil {
			return err
		}
		for _, r := range results {
			applied = append(applied, r.Source.Path)
		}
		// A database that was away for long, or restored, has no partition for today.
		if _, err := pool.Exec(ctx, `SELECT outbox_make_partitions(7)`); err != nil {
			return fmt.Errorf("make outbox partitions: %w", err)
		}
		return noInvalidIndex(ctx, pool)
	})
	return applied, err
}

// Down takes back the newest migration of ours and returns its name. River's are never taken back.
func Down(ctx context.Context, databaseURL string) (string, error) {
	var name string
	err := withLock(ctx, databaseURL, func(_ *pgxpool.Pool, provider *goose.Provider) error {
		r, err := provider.Down(ctx)
		if err != nil {
			return err
		}
		name = r.Source.Path
		return nil
	})
	return name, err
}

// Status lists every migration of ours, in order. It takes no lock, so it answers while others migrate.
func Status(ctx context.Context, databaseURL string) ([]Step, error) {
	var steps []Step
	err := withProvider(ctx, databaseURL, func(_ *pgxpool.Pool, _ *sql.DB, provider *goose.Provider) error {
		all, err := provider.Status(ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			steps = append(steps, Step{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt})
		}
		return nil
	})
	return steps, err
}

// Latest is the version of the newest migration that this program knows.
func Latest() (int64, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, e := range entries {
		v, err := goose.NumericComponent(e.Name())
		if err != nil {
			return 0, err
		}
		latest = max(latest, v)
	}
	return latest, nil
}

func withLock(ctx context.Context, databaseURL string, do func(*pgxpool.Pool, *goose.Provider) error) error {
	return withProvider(ctx, databaseURL, func(pool *pgxpool.Pool, db *sql.DB, provider *goose.Provider) error {
		return locked(ctx, db, func() error { return do(pool, provider) })
	})
}

func withProvider(ctx context.Context, databaseURL string, do func(*pgxpool.Pool, *sql.DB, *goose.Provider) error) error {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return fmt.Errorf("read the database URL: %w", err)
	}
	config.MaxConns = 4
	config.ConnConfig.RuntimeParams["application_name"] = "payaid-migrate"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()

	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return do(pool, db, provider)
}

// locked polls for the lock instead of waiting in pg_advisory_lock: a session that waits there holds a
// snapshot, and CREATE INDEX CONCURRENTLY in the holder would wait for it for ever.
func locked(ctx context.Context, db *sql.DB, do func() error) (err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(LockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close()
	if err := locker.SessionLock(ctx, conn); err != nil {
		return fmt.Errorf("take the migration lock (is a backup or another migration running?): %w", err)
	}
	defer func() { err = errors.Join(err, locker.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	return do()
}

const invalidIndexes = `
SELECT coalesce(string_agg(c.oid::regclass::text, ', '), '')
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace`

// noInvalidIndex catches the trap of CREATE INDEX CONCURRENTLY IF NOT EXISTS: over a half-built index
// it reports success, and the index is maintained and never used.
func noInvalidIndex(ctx context.Context, pool *pgxpool.Pool) error {
	var names string
	if err := pool.QueryRow(ctx, invalidIndexes).Scan(&names); err != nil {
		return fmt.Errorf("look for invalid indexes: %w", err)
	}
	if names != "" {
		return fmt.Errorf("invalid index left behind: %s; mend it with REINDEX INDEX CONCURRENTLY", names)
	}
	return nil
}
