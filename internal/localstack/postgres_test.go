package localstack

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execSQL(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func one[T any](t *testing.T, conn *pgx.Conn, sql string) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func testDir(t *testing.T) string {
	t.Helper()
	dir, err := newTestDir("dir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestPostgresRoleOwnsItsDatabaseAndIsNoSuperuser(t *testing.T) {
	t.Parallel()
	pg := TestPostgres(t)
	name := pg.NewDatabase(t, "")
	if err := pg.CreateDatabase(t.Context(), name, ""); err != nil {
		t.Errorf("creating a database that exists: %v", err)
	}
	conn := connect(t, pg.URL(name))
	execSQL(t, conn, `CREATE TABLE t (n int)`)
	if one[bool](t, conn, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`) {
		t.Error("the login role is a superuser")
	}
	for setting, want := range map[string]string{
		"password_encryption": "scram-sha-256", "max_connections": "200", "TimeZone": "UTC",
		"listen_addresses": "127.0.0.1", "idle_in_transaction_session_timeout": "1min",
		"data_checksums": "on", "fsync": "off", "synchronous_commit": "on",
	} {
		if got := one[string](t, conn, `SHOW `+setting); got != want {
			t.Errorf("%s = %s, want %s", setting, got, want)
		}
	}
	super := connect(t, pg.SuperURL(name))
	execSQL(t, super, `CREATE EXTENSION pg_stat_statements`)
	if n := one[int](t, conn, `SELECT count(*) FROM pg_stat_statements`); n == 0 {
		t.Error("pg_stat_statements counts nothing")
	}
}

func TestPostgresTemplateIsCopied(t *testing.T) {
	t.Parallel()
	pg := TestPostgres(t)
	template := pg.NewDatabase(t, "")
	conn := connect(t, pg.URL(template))
	execSQL(t, conn, `CREATE TABLE t AS SELECT 7 AS n`)
	conn.Close(t.Context())
	if n := one[int](t, connect(t, pg.URL(pg.NewDatabase(t, template))), `SELECT n FROM t`); n != 7 {
		t.Errorf("the copy holds %d, want 7", n)
	}
}

func TestPostgresRefusesAWrongPassword(t *testing.T) {
	t.Parallel()
	pg := TestPostgres(t)
	conn, err := pgx.Connect(t.Context(), strings.Replace(pg.URL("postgres"), pg.password, "wrong", 1))
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("a wrong password was let in")
	}
}

func TestPostgresKeepsCommitsWhenKilled(t *testing.T) {
	t.Parallel()
	pg := NewPostgres(t)
	name := pg.NewDatabase(t, "")
	conn := connect(t, pg.URL(name))
	execSQL(t, conn, `CREATE TABLE t AS SELECT generate_series(1, 1000) AS n`)
	before := pg.Pid()

	pg.Kill()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session survived the kill")
	}
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pg.Pid() == before {
		t.Error("the process is the one that was killed")
	}
	if n := one[int](t, connect(t, pg.URL(name)), `SELECT count(*) FROM t`); n != 1000 {
		t.Errorf("%d rows after the kill, want 1000", n)
	}
}

func TestPostgresStartsAgainWhereItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "postgres")
	o := PostgresOptions{Dir: dir, Fsync: true, Settings: map[string]string{"work_mem": "5MB"}}
	first, err := StartPostgres(t.Context(), o) // with initdb
	if err != nil {
		t.Fatal(err)
	}
	if err := first.CreateDatabase(t.Context(), "payaid", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a second start beside the first: %v", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	second, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop(context.Background())
	if got, want := second.URL("payaid"), first.URL("payaid"); got != want {
		t.Errorf("the second start is at %s, the first was at %s", got, want)
	}
	conn := connect(t, second.URL("payaid"))
	if got := one[string](t, conn, `SHOW work_mem`); got != "5MB" {
		t.Errorf("work_mem = %s, want the given 5MB", got)
	}
	for name, want := range map[string]os.FileMode{"data": 0o700, "password": 0o600, "superuser-password": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

func TestPostgresRunsUnprivilegedForRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root has privileges to drop")
	}
	pg := TestPostgres(t)
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pg.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if info.Sys().(*syscall.Stat_t).Uid == 0 {
		t.Error("postgres runs as root")
	}
	closed := filepath.Join(testDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: filepath.Join(closed, "a", "postgres")})
	if err == nil || !strings.Contains(err.Error(), "chmod a+x "+closed+"`") {
		t.Errorf("in a folder that is closed to others: %v", err)
	}
}

func TestPostgresRefusesTheDataOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := findPostgres(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	for _, part := range []string{"Postgres 9 ", strconv.Itoa(bin.major), "apt-get install postgresql-9"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func TestPostgresLeavesAStrangeFolderAlone(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	precious := filepath.Join(dir, "data", "precious")
	if err := os.MkdirAll(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir}); err == nil {
		t.Error("a folder with someone's files was taken for a cluster")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port
	start := map[string]func(dir string) error{
		"postgres": func(dir string) error {
			if err := copyTemplateCluster(t.Context(), PostgresOptions{Dir: dir}); err != nil {
				return err
			}
			_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Port: port})
			return err
		},
		"redis": func(dir string) error {
			_, err := StartRedis(t.Context(), RedisOptions{Dir: dir, Port: port})
			return err
		},
		"nats": func(dir string) error {
			_, err := StartNATS(t.Context(), NATSOptions{Dir: dir, Port: port})
			return err
		},
	}
	holder := fmt.Sprintf("(process %d)", os.Getpid())
	for name, start := range start {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := start(testDir(t))
			if err == nil {
				t.Fatal("it started on a port that is taken")
			}
			for _, part := range []string{"start " + name, strconv.Itoa(port), holder, "choose another port"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}
