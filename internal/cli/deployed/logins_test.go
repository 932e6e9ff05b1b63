package deployed

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/internal/localstack"
)

// payaid is a process of the product, which ends with the test.
func payaid(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...)
	cmd.Env = append([]string{asProcess + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// refused reports whether a statement is refused for want of rights.
func refused(t *testing.T, conn *pgx.Conn, sql string) bool {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql)
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

// Each login may do what it is there for, and no more.
func TestLogins(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if out, err := payaid(t, []string{"DATABASE_URL=" + s.url(t, "owner")}, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	service := connect(t, s.url(t, "service"))
	for _, sql := range []string{`SELECT * FROM organizations`, `CREATE TABLE mine ()`, `SET ROLE payaid_owner`, `SET ROLE payaid_backup`, `CREATE DATABASE mine`} {
		if !refused(t, service, sql) {
			t.Errorf("payaid_service may %s", sql)
		}
	}
	// A folder that is made after the password was changed knows the login that took turns.
	other, err := url.Parse(s.url(t, "service"))
	if err != nil {
		t.Fatal(err)
	}
	other.User = url.UserPassword("payaid_service_b", "service-has-a-password")
	turned := connect(t, other.String())
	if !refused(t, turned, `SELECT * FROM organizations`) {
		t.Error("payaid_service_b may read without a role")
	}
	execute(t, turned, `SET ROLE payaid_app`)
	execute(t, turned, `SET ROLE payaid_system`)
	execute(t, service, `SET ROLE payaid_app`)
	var seen int
	if err := service.QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&seen); err != nil || seen != 0 {
		t.Errorf("without an organization, requests see %d of them (%v)", seen, err)
	}
	execute(t, service, `SET ROLE payaid_system`)
	if err := service.QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&seen); err != nil || seen != 1 {
		t.Errorf("workers see %d organizations, want the operator's (%v)", seen, err)
	}
	if err := service.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'someone%' AND usename = 'payaid_owner'`).Scan(&seen); err != nil || seen != 0 {
		t.Errorf("nobody is called someone, and %d are (%v)", seen, err)
	}
	execute(t, connect(t, s.url(t, "owner")), `SET application_name = 'someone'`)
	if err := service.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'someone'`).Scan(&seen); err != nil || seen != 1 {
		t.Errorf("the sessions of others have no names (%v)", err)
	}
	riverui := connect(t, s.url(t, "riverui"))
	if err := riverui.QueryRow(t.Context(), `SELECT count(*) FROM river_job`).Scan(&seen); err != nil {
		t.Errorf("River's pages don't see jobs: %v", err)
	}
	if !refused(t, riverui, `DROP TABLE river_job`) {
		t.Error("River's pages may drop tables")
	}
	if _, err := pgx.Connect(t.Context(), s.url(t, "wal")); err == nil {
		t.Error("who copies the log may read the database")
	}
	if owner := connect(t, s.url(t, "owner")); !refused(t, owner, `SET ROLE postgres`) || !refused(t, owner, `SET ROLE payaid_backup`) {
		t.Error("the owner may become a superuser")
	}

	s.secret(t, "postgres_service_password", "another")
	out, err := s.program(t, append(s.env(t), "PAYAID_SECRETS="+s.secrets, "PGPASSWORD="+s.password(t)),
		"psql", "-q", "-U", "postgres", "-d", "postgres", "-f", deploy+"postgres/init/20-passwords.sql").CombinedOutput()
	if err != nil {
		t.Fatalf("20-passwords.sql: %v\n%s", err, out)
	}
	if _, err := pgx.Connect(t.Context(), s.url(t, "service")); err == nil {
		t.Error("the password that was given up is good still")
	}
	connect(t, strings.Replace(s.url(t, "service"), "service-has-a-password", "another", 1))
}

func (s *server) password(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	return password
}

// The processes work by the login that owns nothing, and backups are made and restored for a try by theirs.
func TestProcessesByTheirLogins(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if out, err := payaid(t, []string{"DATABASE_URL=" + s.url(t, "owner")}, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	nats, redis := localstack.TestNATS(t), localstack.TestRedis(t)
	env := []string{"DATABASE_URL=" + s.url(t, "service"), "NATS_URL=" + nats.URL(), "REDIS_URL=" + redis.URL(), "DB_POOL_SIZE=6"}
	for _, line := range []string{"api", "relay", "worker --queue maintenance --queue cache --queue webhook --queue mail --queue ai"} {
		own := append([]string{"METRICS_LISTEN=" + freeAddress(t)}, env...)
		if line == "api" {
			own = append(own, "LISTEN="+freeAddress(t))
		}
		cmd := payaid(t, own, strings.Fields(line)...)
		said := &words{}
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s ended with %v", line, err)
			}
			if t.Failed() {
				t.Logf("%s said:\n%s", line, said)
			}
		})
		until(t, line+" is ready", func() error { return payaid(t, own, "healthcheck").Run() })
	}
	backups := filepath.Join(s.dir, "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := payaid(t, append([]string{"BACKUP_DIR=" + backups, "BACKUP_DATABASE_URL=" + s.url(t, "backup")}, env...), "backup", "now", "--verify").CombinedOutput()
	if err != nil || strings.Contains(string(out), "was not checked") {
		t.Errorf("backup now --verify: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
