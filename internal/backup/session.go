package backup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A session is the one that holds the lock and the snapshot while a backup is made.
type session struct {
	conn *pgx.Conn
	about
}

// about is what the server says of itself and of the database.
type about struct {
	Version  string
	Major    int
	Database string
	Encoding string
	Collate  string
	Ctype    string
	Bytes    int64
}

const oldestMajor = 15

const describe = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, datname,
	pg_encoding_to_char(encoding), datcollate, datctype, pg_database_size(oid)
FROM pg_database WHERE datname = current_database()`

// openSession connects, and refuses a server that is too old.
func (k *Keeper) openSession(ctx context.Context) (*session, error) {
	config, err := pgx.ParseConfig(k.DatabaseURL)
	if err != nil {
		return nil, errors.New("read the database's address: it is no Postgres URL") // the cause shows the password
	}
	config.RuntimeParams["application_name"] = "payaid-backup"
	// A pooler between would keep statements that are prepared.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	connecting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, config)
	if err != nil {
		return nil, databaseFault(err, "can't be reached")
	}
	s := &session{conn: conn}
	if err := settle(ctx, conn); err != nil {
		s.close(ctx)
		return nil, databaseFault(err, "was lost")
	}
	a := &s.about
	err = conn.QueryRow(ctx, describe).Scan(&a.Version, &a.Major, &a.Database, &a.Encoding, &a.Collate, &a.Ctype, &a.Bytes)
	if err != nil {
		s.close(ctx)
		return nil, databaseFault(err, "was lost")
	}
	if a.Major < oldestMajor {
		s.close(ctx)
		return nil, &Fault{Code: ClientVersion, Detail: fmt.Sprintf("the server is Postgres %s", a.Version),
			Remedy: fmt.Sprintf("upgrade it to Postgres %d or newer", oldestMajor)}
	}
	return s, nil
}

// close gives back the lock and the snapshot.
func (s *session) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // a session that ends otherwise gives them back as well
}

// databaseFault is err as a fault when the database is the reason, and err itself when it is not.
func databaseFault(err error, what string) error {
	var refused *pgconn.PgError
	if errors.Is(err, context.Canceled) {
		return err
	}
	away := errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "57P") || strings.HasPrefix(refused.Code, "08") ||
		strings.HasPrefix(refused.Code, "53") || strings.HasPrefix(refused.Code, "28") || refused.Code == "3D000")
	var network net.Error
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) || refused == nil && (errors.As(err, &network) || strings.Contains(err.Error(), "EOF") ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "reset by peer") || strings.Contains(err.Error(), "broken pipe")) {
		away = true
	}
	if !away {
		return err
	}
	why := "it does not answer"
	if refused != nil {
		why = refused.Message
	}
	return &Fault{Code: DatabaseAway, Detail: fmt.Sprintf("the database %s: %s", what, why), Err: err,
		Remedy: "see that Postgres runs and that BACKUP_DATABASE_URL (or DATABASE_URL) leads to it, then make the backup again"}
}

const lockHolder = `
SELECT format('pid %s (%s)', l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'))
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (l.classid::bigint << 32) | l.objid::bigint = $1`

// lockPoll is short enough for a person who waits, and long enough for the server.
const lockPoll = 100 * time.Millisecond

// take takes the lock that backups and migrations share. It polls: a session that waited in pg_advisory_lock would
// hold a snapshot, and an index that is made concurrently waits for those.
func (s *session) take(ctx context.Context, id int64, patience time.Duration) error {
	until := time.NewTimer(patience)
	defer until.Stop()
	again := time.NewTicker(lockPoll)
	defer again.Stop()
	for last := false; ; {
		var mine bool
		if err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, id).Scan(&mine); err != nil {
			return fmt.Errorf("take the lock: %w", databaseFault(err, "was lost"))
		}
		if mine {
			return nil
		}
		if last {
			return s.busy(ctx, id, patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-until.C:
			last = true
		case <-again.C:
		}
	}
}

func (s *session) busy(ctx context.Context, id int64, patience time.Duration) error {
	rows, err := s.conn.Query(ctx, lockHolder, id)
	if err != nil {
		return fmt.Errorf("look for the holder of the lock: %w", databaseFault(err, "was lost"))
	}
	holders, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for the holder of the lock: %w", databaseFault(err, "was lost"))
	}
	by := "somebody who is done by now"
	if len(holders) > 0 {
		by = strings.Join(holders, ", ")
	}
	return &Fault{Code: Busy, Detail: fmt.Sprintf("another backup or a migration has been running for more than %s, by %s", patience, by),
		Remedy: "wait until it is over, then make the backup again"}
}

// What the login may not read, or would not see: row_security_active is about the current user, by table.
const hidden = `
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND (NOT has_schema_privilege(n.oid, 'USAGE') OR NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
	ELSE has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) END)
ORDER BY 1`

// seesAll refuses a login that would dump a part of the rows.
func (s *session) seesAll(ctx context.Context) error {
	rows, err := s.conn.Query(ctx, hidden)
	if err != nil {
		return fmt.Errorf("ask what the login sees: %w", databaseFault(err, "was lost"))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("ask what the login sees: %w", databaseFault(err, "was lost"))
	}
	if len(names) == 0 {
		return nil
	}
	some := names[:min(3, len(names))]
	more := ""
	if n := len(names) - len(some); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return &Fault{Code: LoginTooWeak, Detail: fmt.Sprintf("the login %s does not see every row of %s%s",
		s.conn.Config().User, strings.Join(some, ", "), more),
		Remedy: "give BACKUP_DATABASE_URL the login that owns the tables (the one that runs `payaid migrate`), one with BYPASSRLS and SELECT on all, or a superuser"}
}

// A snapshot is a state of the database that others can read too, as long as its session lives.
type snapshot struct {
	id, lsn   string
	at        time.Time
	relations []relation
}

const exportSnapshot = `
SELECT pg_export_snapshot(), clock_timestamp(),
	CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text`

// The schema is not changed so often that a list of tables is old each time.
const snapshotTries = 5

// snapshot begins the transaction whose snapshot is dumped. The tables are locked against changes of the schema
// before it is taken: TRUNCATE and what rewrites a table are seen by older snapshots too, which find it empty.
func (s *session) snapshot(ctx context.Context, wait time.Duration) (snapshot, error) {
	for range snapshotTries {
		found, same, err := s.trySnapshot(ctx, wait)
		if err != nil || same {
			return found, err
		}
		if _, err := s.conn.Exec(ctx, `ROLLBACK`); err != nil {
			return found, fmt.Errorf("take a snapshot: %w", databaseFault(err, "was lost"))
		}
	}
	return snapshot{}, &Fault{Code: LockTimeout, Detail: "tables were made and removed all the time while a snapshot was to be taken",
		Remedy: "make the backup again when the schema is not being changed"}
}

func (s *session) trySnapshot(ctx context.Context, wait time.Duration) (found snapshot, same bool, err error) {
	before, err := listRelations(ctx, s.conn)
	if err != nil {
		return found, false, databaseFault(err, "was lost")
	}
	lock := []string{`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, wait.Milliseconds())}
	for _, r := range before {
		lock = append(lock, `LOCK TABLE ONLY `+r.name+` IN ACCESS SHARE MODE`)
	}
	// As one message, and by the simple protocol, which takes no snapshot before it is needed.
	_, err = s.conn.PgConn().Exec(ctx, strings.Join(lock, ";")).ReadAll()
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && (refused.Code == "42P01" || refused.Code == "3F000"): // it is gone
		return found, false, nil
	case errors.As(err, &refused) && refused.Code == "55P03":
		return found, false, s.locked(ctx, wait)
	case err != nil:
		return found, false, fmt.Errorf("lock the tables: %w", databaseFault(err, "was lost"))
	}
	if err := s.conn.QueryRow(ctx, exportSnapshot).Scan(&found.id, &found.at, &found.lsn); err != nil {
		return found, false, fmt.Errorf("export the snapshot: %w", databaseFault(err, "was lost"))
	}
	if found.relations, err = listRelations(ctx, s.conn); err != nil {
		return found, false, databaseFault(err, "was lost")
	}
	if !slices.Equal(before, found.relations) {
		return found, false, nil
	}
	if err := sizeRelations(ctx, s.conn, found.relations); err != nil {
		return found, false, databaseFault(err, "was lost")
	}
	return found, true, nil
}

const exclusive = `
SELECT format('%s by pid %s (%s)', l.relation::regclass, l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'))
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// locked says who keeps the tables from being read.
func (s *session) locked(ctx context.Context, wait time.Duration) error {
	by := "somebody who changes the schema"
	if _, err := s.conn.Exec(ctx, `ROLLBACK`); err == nil {
		rows, err := s.conn.Query(ctx, exclusive)
		if err != nil {
			return databaseFault(err, "was lost")
		}
		if holders, err := pgx.CollectRows(rows, pgx.RowTo[string]); err == nil && len(holders) > 0 {
			by = strings.Join(holders[:min(3, len(holders))], ", ")
		}
	}
	return &Fault{Code: LockTimeout, Detail: fmt.Sprintf("a table was locked for more than %s: %s", wait, by),
		Remedy: "end that session, or wait until it has ended, then make the backup again"}
}
