package backup

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server is what a dump is to be restored into.
type server struct {
	version   string // such as 16.4
	major     int
	user      string
	superuser bool
}

const aboutServer = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, current_user,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user)`

// inspectServer refuses one that can't take the dump, before anything is made there, and removes what killed runs left.
func inspectServer(ctx context.Context, address string, m Manifest) (server, error) {
	conn, err := connectBeside(ctx, address)
	if err != nil {
		return server{}, err
	}
	defer closeConn(ctx, conn)
	var s server
	var creates bool
	if err := conn.QueryRow(ctx, aboutServer).Scan(&s.version, &s.major, &s.user, &s.superuser, &creates); err != nil {
		return s, serverFault("ask the server for its version", err)
	}
	if !creates {
		return s, &Fault{Code: LoginTooWeak, Detail: "the login " + s.user + " may not make databases",
			Remedy: "`ALTER ROLE " + pgx.Identifier{s.user}.Sanitize() + " CREATEDB`, or name another login by BACKUP_DATABASE_URL"}
	}
	if s.major < m.ServerMajor {
		return s, &Fault{Code: CannotRestore, Detail: fmt.Sprintf("the dump is of Postgres %d, and the server is only %s", m.ServerMajor, s.version),
			Remedy: fmt.Sprintf("restore into Postgres %d or newer", m.ServerMajor)}
	}
	if err := s.hasExtensions(ctx, conn, m); err != nil {
		return s, err
	}
	sweepDatabases(ctx, conn) // they may be what takes the room
	return s, s.hasRoom(ctx, conn, m)
}

const availableExtensions = `
SELECT e.name, coalesce(v.superuser AND NOT v.trusted, true)
FROM pg_available_extensions e LEFT JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
WHERE e.name = ANY ($1)`

func (s server) hasExtensions(ctx context.Context, conn *pgx.Conn, m Manifest) error {
	var wanted []string
	for _, e := range m.Extensions {
		if e.Name != "plpgsql" { // every database has it
			wanted = append(wanted, e.Name)
		}
	}
	rows, _ := conn.Query(ctx, availableExtensions, wanted)
	there := make(map[string]bool)
	var name string
	var supers bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &supers}, func() error { there[name] = supers; return nil }); err != nil {
		return serverFault("look for extensions", err)
	}
	for _, name := range wanted {
		supers, ok := there[name]
		switch {
		case !ok:
			return &Fault{Code: CannotRestore, Detail: "the dump has the extension " + name + ", which is not installed on the server",
				Remedy: fmt.Sprintf("install it where Postgres runs (Debian: postgresql-contrib, or postgresql-%d-%s)", s.major, name)}
		case supers && !s.superuser:
			return &Fault{Code: LoginTooWeak, Detail: "the dump has the extension " + name + ", which a superuser alone may install",
				Remedy: "restore by a superuser, or verify on a server of its own by BACKUP_VERIFY_DATABASE_URL"}
		}
	}
	return nil
}

const aboutDisk = `
SELECT current_setting('data_directory'), coalesce(host(inet_server_addr()), ''), extract(epoch FROM pg_postmaster_start_time())::bigint`

// hasRoom looks at the server's disk where that is possible: on this machine, seen by a login that is told where the
// data lies. Postgres itself does not say how much is free.
func (s server) hasRoom(ctx context.Context, conn *pgx.Conn, m Manifest) error {
	var dir, host string
	var started int64
	if conn.QueryRow(ctx, aboutDisk).Scan(&dir, &host, &started) != nil || !runsHere(dir, host, started) {
		return nil
	}
	free, err := freeBytes(dir)
	// Indexes are not in a dump; they and the log of what is written take as much again, and some.
	if need := m.PlainBytes*5/2 + 64<<20; err == nil && free < need {
		return &Fault{Code: DiskFull, Detail: fmt.Sprintf("the disk of Postgres has %s free, and the restored database needs about %s", bytesText(free), bytesText(need)),
			Remedy: "make room where Postgres keeps its data (" + dir + "), or restore on another server"}
	}
	return nil
}

// runsHere reports whether the folder of that name on this machine is that server's: a container's has the same name.
func runsHere(dir, host string, started int64) bool {
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || !addr.IsLoopback()) {
		return false
	}
	raw, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	lines := strings.Split(string(raw), "\n")
	if err != nil || len(lines) < 3 {
		return false
	}
	at, err := strconv.ParseInt(strings.TrimSpace(lines[2]), 10, 64)
	return err == nil && time.Duration(max(at-started, started-at))*time.Second <= 2*time.Second
}
