package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Health is what the database says of itself and of the flow through it.
type Health struct {
	Version           string
	Major             int
	Connections       int // of clients, over all databases
	MaxConnections    int
	Fsync             string
	SynchronousCommit string // of new connections
	Login             string
	LoginSuper        bool
	OwnedByRoles      []string // tables that one of our roles owns, which it must not
	Unrouted          int      // events behind the router, at most a thousand
	OldestUnrouted    time.Duration
	DeadEvents        int // at most a thousand
	DaysAhead         int // of outbox partitions
}

const selectHealth = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       (SELECT sum(numbackends)::int FROM pg_stat_database),
       current_setting('max_connections')::int, current_setting('fsync'),
       (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'),
       session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
       ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
             WHERE r.rolname IN ('payaid_app', 'payaid_system') AND c.relkind IN ('r', 'p')),
       (SELECT count(*) FROM (SELECT FROM dead_events WHERE redriven_at IS NULL LIMIT 1000) AS dead),
       (SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outbox'::regclass AND c.relname > 'outbox_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
          AND c.relname ~ '^outbox_[0-9]{8}$')`

// In an epoch in which the router has not routed anything yet, all since its beginning waits.
const selectUnrouted = `
WITH present AS (
    SELECT epoch, started_xid FROM outbox_epochs ORDER BY started_at DESC LIMIT 1
), behind AS (
    SELECT coalesce(p.xid, present.started_xid) AS xid, coalesce(p.id, 0) AS id
    FROM present LEFT JOIN consumer_positions p ON p.consumer = 'router' AND p.epoch = present.epoch
)
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)
FROM (SELECT created_at FROM outbox, behind WHERE (outbox.xid, outbox.id) > (behind.xid, behind.id)
      ORDER BY outbox.xid, outbox.id LIMIT 1000) AS waiting`

// Health looks at the database.
func (db *DB) Health(ctx context.Context) (Health, error) {
	var h Health
	err := db.Tx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, selectHealth).Scan(&h.Version, &h.Major, &h.Connections, &h.MaxConnections, &h.Fsync,
			&h.SynchronousCommit, &h.Login, &h.LoginSuper, &h.OwnedByRoles, &h.DeadEvents, &h.DaysAhead)
		if err != nil {
			return err
		}
		var seconds float64
		err = tx.QueryRow(ctx, selectUnrouted).Scan(&h.Unrouted, &seconds)
		h.OldestUnrouted = time.Duration(seconds * float64(time.Second))
		return err
	})
	if err != nil {
		return h, fmt.Errorf("look at the database: %w", err)
	}
	return h, nil
}
