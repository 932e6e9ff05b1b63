package backup

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A scratch is a database in the making that nobody else knows. A session of ours holds an advisory lock by its
// name for as long as we live, so that what a killed process left is told from what is in use.
type scratch struct {
	name string
	url  string    // its own
	conn *pgx.Conn // to another database of the server, holding the lock
	home string    // the address that conn came by
	// roles were made for it: policies and grants name them.
	roles []string
}

const connectWithin = 15 * time.Second

// openOn opens a session on a database of the server that an address leads to.
func openOn(ctx context.Context, address, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("read the database's address: it is no Postgres URL") // the cause shows the password
	}
	if database != "" {
		config.Database = database
	}
	for name := range config.RuntimeParams {
		if name == "pool_size" || name == "max_overflow" || name == "timeout" {
			delete(config.RuntimeParams, name)
		}
	}
	config.RuntimeParams["application_name"] = "payaid-backup"
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}

// connectBeside opens a session on whichever database of the server lets us in that is not the one to be made: the
// one that every server has, that of the address, and last the template, as a session there keeps others from
// making databases.
func connectBeside(ctx context.Context, address string) (*pgx.Conn, error) {
	own := ""
	if config, err := pgx.ParseConfig(address); err == nil {
		own = config.Database
	}
	var first error
	for _, database := range []string{"postgres", own, "template1"} {
		conn, err := openOn(ctx, address, database)
		if err == nil {
			if err = settle(ctx, conn); err == nil {
				return conn, nil
			}
			_ = conn.Close(ctx)
		}
		if first == nil {
			first = err
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) {
			break // nobody answers, whatever the database
		}
	}
	return nil, serverFault("connect to the server", first)
}

// urlOf is the address of another database of the same server, for the same login.
func urlOf(address, database string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("read the database's address: it is no Postgres URL")
	}
	u.Path = "/" + database
	u.RawPath = ""
	q := u.Query()
	q.Del("dbname")
	q.Del("database")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Names of databases in the making.
var (
	verifyName  = regexp.MustCompile(`^payaid_verify_[0-9a-f]{12}$`)
	restoreName = regexp.MustCompile(`_restoring_[0-9a-f]{12}$`)
)

func randomID() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// useLock is the advisory lock of who makes a database of that name.
func useLock(name string) int64 {
	sum := sha256.Sum256([]byte("payaid:" + name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// newScratch makes an empty database with the language of the one that was dumped.
func newScratch(ctx context.Context, address, name string, m Manifest) (*scratch, error) {
	conn, err := connectBeside(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &scratch{name: name, conn: conn, home: address}
	if s.url, err = urlOf(address, name); err == nil {
		err = s.create(ctx, m)
	}
	if err != nil {
		return nil, errors.Join(err, s.drop(ctx))
	}
	return s, nil
}

func (s *scratch) create(ctx context.Context, m Manifest) error {
	// Before the database is there: one without a lock belongs to nobody.
	if _, err := s.conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, useLock(s.name)); err != nil {
		return serverFault("lock "+s.name, err)
	}
	var err error
	if s.roles, err = makeRoles(ctx, s.conn, m); err != nil {
		return err
	}
	sql := `CREATE DATABASE ` + pgx.Identifier{s.name}.Sanitize() + ` TEMPLATE template0`
	for _, property := range []struct{ name, value string }{{"ENCODING", m.Encoding}, {"LC_COLLATE", m.Collate}, {"LC_CTYPE", m.Ctype}} {
		if property.value != "" {
			sql += ` ` + property.name + ` ` + quoted(property.value)
		}
	}
	_, err = s.conn.Exec(ctx, sql)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42809" || refused.Code == "22023") { // wrong_object_type, invalid_parameter_value
		return &Fault{Code: CannotRestore, Err: err,
			Detail: fmt.Sprintf("the server can't make a database with encoding %s and the collation %s", m.Encoding, m.Collate),
			Remedy: "install that locale where the server runs (Debian: `dpkg-reconfigure locales`), or restore on a server that has it"}
	}
	return serverFault("make the database "+s.name, err)
}

// quoted makes a literal of a text.
func quoted(text string) string {
	literal := []byte{'\''}
	for _, c := range []byte(text) {
		if c == '\'' {
			literal = append(literal, '\'')
		}
		literal = append(literal, c)
	}
	return string(append(literal, '\''))
}

// dropWithin is how long a database in the making is tried to be got rid of, by a server that may be restarting.
const dropWithin = 20 * time.Second

// drop removes the database, however ctx has ended, and gives its name back. What can't be removed now, as the
// server is away, the next run finds.
func (s *scratch) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer cancel()
	defer s.close(ctx)
	for {
		err := s.dropOnce(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drop the database %s, which the next run does: %w", s.name, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *scratch) dropOnce(ctx context.Context) error {
	if s.conn == nil || s.conn.IsClosed() {
		var err error
		if s.conn, err = connectBeside(ctx, s.home); err != nil {
			return err
		}
	}
	_, err := s.conn.Exec(ctx, dropSQL(s.name))
	return err
}

func dropSQL(name string) string {
	return `DROP DATABASE IF EXISTS ` + pgx.Identifier{name}.Sanitize() + ` WITH (FORCE)`
}

// close gives the name back and leaves the database.
func (s *scratch) close(ctx context.Context) {
	if s.conn != nil {
		_ = s.conn.Close(ctx) // the lock goes with the session
	}
}

const listDatabases = `SELECT datname FROM pg_database WHERE datname ~ '^payaid_verify_' OR datname ~ '_restoring_'`

// Advisory locks of all databases of the server are seen from each.
const listLocks = `
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted`

// sweepServer removes databases in the making whose makers are gone, if the server is there.
func (k *Keeper) sweepServer(ctx context.Context) {
	conn, err := connectBeside(ctx, cmp.Or(k.VerifyURL, k.DatabaseURL))
	if err != nil {
		return // the next one may
	}
	defer closeConn(ctx, conn)
	for _, name := range sweepDatabases(ctx, conn) {
		k.Log.InfoContext(ctx, "database of a verification that was killed is removed", "database", name)
	}
}

// sweepDatabases removes databases in the making whose makers are gone. What it can't do the next one may.
func sweepDatabases(ctx context.Context, conn *pgx.Conn) (removed []string) {
	// In this order: the lock is taken before the database is made.
	rows, _ := conn.Query(ctx, listDatabases)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		return nil
	}
	rows, _ = conn.Query(ctx, listLocks)
	held, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil
	}
	inUse := make(map[int64]bool, len(held))
	for _, lock := range held {
		inUse[lock] = true
	}
	for _, name := range names {
		if inUse[useLock(name)] || !verifyName.MatchString(name) && !restoreName.MatchString(name) {
			continue
		}
		if _, err := conn.Exec(ctx, dropSQL(name)); err == nil {
			removed = append(removed, name)
		}
	}
	return removed
}
