// Package deployed tries files of deploy with the real Postgres: the logins that they make, and the way back to a moment
// of the past.
package deployed

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/cli"
	"github.com/payaid/payaid/internal/localstack"
)

const deploy = "../../../deploy/"

// The test binary is the product's too: with this variable it is payaid and runs no test.
const asProcess = "PAYAID_DEPLOYED_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "1" {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(localstack.RunTests(m))
}

// A server is a Postgres whose logins are those of an installation.
type server struct {
	*localstack.Postgres
	dir     string // in which it has its own folder
	secrets string // the folder of the passwords
}

var logins = []string{"owner", "service", "backup", "riverui", "wal"}

// newServer starts one, and runs what the image runs when its data folder is new.
func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "payaid-test-deployed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: dir, secrets: filepath.Join(dir, "secrets")}
	if err := os.Mkdir(s.secrets, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // who runs Postgres for root passes through
		t.Fatal(err)
	}
	s.start(t)
	super, err := url.Parse(s.SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := super.User.Password()
	s.secret(t, "postgres_password", password)
	for _, login := range logins {
		s.secret(t, "postgres_"+login+"_password", login+"-has-a-password")
	}
	env := append(s.env(t), "POSTGRES_USER=postgres", "PGDATA="+dir, "PGPASSWORD="+password, "PAYAID_SECRETS="+s.secrets)
	for _, line := range []string{"bash " + deploy + "postgres/init/10-payaid.sh", "psql -q -U postgres -d postgres -f " + deploy + "postgres/init/20-passwords.sql"} {
		if out, err := s.program(t, env, strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	hba, err := os.ReadFile(filepath.Join(dir, "pg_hba.conf"))
	if err != nil || string(hba) != "host replication payaid_wal all scram-sha-256\n" {
		t.Errorf("pg_hba.conf is given %q (%v)", hba, err)
	}
	return s
}

// start starts the server on the folder that it has.
func (s *server) start(t *testing.T) {
	t.Helper()
	var err error
	s.Postgres, err = localstack.StartPostgres(t.Context(), localstack.PostgresOptions{Dir: filepath.Join(s.dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	running := s.Postgres
	t.Cleanup(func() { s.stop(t, running) })
}

func (s *server) stop(t *testing.T, p *localstack.Postgres) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func (s *server) secret(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.secrets, name), []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// url is the address of the database for a login of the installation.
func (s *server) url(t *testing.T, login string) string {
	t.Helper()
	u, err := url.Parse(s.SuperURL("payaid"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("payaid_"+login, login+"-has-a-password")
	return u.String()
}

// env is where the programs of Postgres find the server.
func (s *server) env(t *testing.T) []string {
	t.Helper()
	u, err := url.Parse(s.SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PGHOST=" + u.Hostname(), "PGPORT=" + u.Port(), "LC_ALL=C.UTF-8", "PATH=" + strings.Join(append(found, os.Getenv("PATH")), ":")}
}

func (s *server) program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "env", append(env, args...)...) // which finds the program by its PATH
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// connect is a session of its own.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
