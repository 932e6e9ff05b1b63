package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// watch looks, through the session that holds the lock, at what a try does and waits for, and reports it,
// until done is closed. It returns who was in the way last; an error means that the lock is lost.
func (r *run) watch(ctx context.Context, what string, s *session, done <-chan struct{}) ([]other, error) {
	var last []other
	begun := time.Now()
	tick := time.NewTicker(r.pace)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return last, nil
		case <-ctx.Done():
			return last, nil
		case <-tick.C:
		}
		blockers, err := sessions(ctx, r.lock, blockersOf, s.backends())
		if err != nil && ctx.Err() == nil {
			return last, fmt.Errorf("%w: %w", errLockLost, err)
		}
		build, err := progress(ctx, r.lock, s.backends())
		if err != nil && ctx.Err() == nil {
			return last, fmt.Errorf("%w: %w", errLockLost, err)
		}
		switch {
		case len(blockers) > 0:
			last = blockers
			if build != "" {
				build += "; "
			}
			r.say(what+" waits "+pids(blockers), "%s: %swaits for %s", what, build, names(blockers))
		case build != "":
			r.say(what+" builds", "%s: %s", what, build)
		case time.Since(begun) > repeat:
			r.say(what+" runs", "%s: is running", what)
		}
	}
}

// Both ways to ask, as a session that makes an index concurrently waits for others in turn, and between
// two of them for nobody.
const blockersOf = `
SELECT b.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'unnamed'),
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM (
    SELECT unnest(pg_blocking_pids(mine.pid)) AS pid FROM unnest($1::integer[]) AS mine (pid)
    UNION
    SELECT current_locker_pid::integer FROM pg_stat_progress_create_index
    WHERE pid = ANY ($1::integer[]) AND current_locker_pid <> 0
) b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
WHERE b.pid <> ALL ($1::integer[])
ORDER BY a.xact_start NULLS LAST
LIMIT 3`

// The figures of a phase stay while the next ones have none of their own.
const percentOf = `
CASE WHEN phase LIKE '%: scanning %' THEN 100 * blocks_done / nullif(blocks_total, 0)
     WHEN phase LIKE '%: loading tuples %' THEN 100 * tuples_done / nullif(tuples_total, 0) END`

const progressOf = `
SELECT phase, ` + percentOf + `
FROM pg_stat_progress_create_index WHERE pid = ANY ($1::integer[]) AND datname = current_database() AND phase IS NOT NULL
LIMIT 1`

// progress says how far an index is that one of the backends builds, or nothing.
func progress(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, backends []int32) (string, error) {
	var phase string
	var percent *int64
	err := db.QueryRow(ctx, progressOf, backends).Scan(&phase, &percent)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil || percent == nil {
		return phase, err
	}
	return fmt.Sprintf("%s, %d %%", phase, *percent), nil
}

const builds = `
SELECT coalesce(index_relid::regclass::text, 'an index') || ' is being made by pid ' || pid || coalesce(': ' || phase, '')
       || coalesce(', ' || (` + percentOf + `) || ' %', '')
FROM pg_stat_progress_create_index WHERE datname = current_database()
ORDER BY pid`

// Now says, a line each, who migrates or backs up at this moment, and which indexes are being made.
func (m Migrator) Now(ctx context.Context) ([]string, error) {
	r := newRun(m)
	if err := r.connectLock(ctx); err != nil {
		return nil, err
	}
	defer r.closeLock(ctx)
	holder, err := r.lockHolder(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := r.lock.Query(ctx, builds)
	if err != nil {
		return nil, fmt.Errorf("look for indexes that are being made: %w", err)
	}
	now, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if holder != "" {
		now = append([]string{"a backup or a migration is running: " + holder}, now...)
	}
	return now, err
}
