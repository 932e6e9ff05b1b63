package backup

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
)

// usual is the script by which databases are backed up everywhere.
const usual = `
TIMESTAMP=$(date +%Y%m%d_%H%M%S)
BACKUP_FILE="${BACKUP_DIR}/payaid_${TIMESTAMP}.sql.gz"
pg_dump "$DATABASE" | gzip > $BACKUP_FILE
if [ -f "$BACKUP_FILE" ]; then
  echo "Backup successful: $BACKUP_FILE"
  find ${BACKUP_DIR} -name "payaid_*.sql.gz" -mtime +30 -delete
else
  echo "Backup failed!"
  exit 1
fi`

// A disaster happens to both.
type disaster struct {
	name   string
	code   string // of our fault
	shim   string // of pg_dump
	change func(t *testing.T, c *Config)
}

// TestTheUsualScript shows what the usual script makes of a disaster, beside what we make of it.
func TestTheUsualScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disasters := []disaster{
		{"nothing", "", "exec $REAL \"$@\"", nil},
		{"pg_dump is killed in the middle (KILL)", DumpFailed, `$REAL "$@" 2>/dev/null | head -c 300000; kill -KILL $$`, nil},
		{"pg_dump is ended in the middle (TERM)", DumpFailed, `$REAL "$@" 2>/dev/null | head -c 300000; kill -TERM $$`, nil},
		{"pg_dump complains, and ends with 0", DumpFailed, `$REAL "$@"; echo "pg_dump: error: query failed" >&2`, nil},
		{"pg_dump writes nothing, and ends with 0", DumpFailed, `exit 0`, nil},
		{"pg_dump writes something else", DumpFailed, `echo hello`, nil},
		{"pg_dump is of another major version", ClientVersion, "", olderThanServer},
		{"the server is away", DatabaseAway, "", func(t *testing.T, c *Config) { c.DatabaseURL = "postgres://payaid:x@127.0.0.1:1/payaid" }},
		{"the password is wrong", DatabaseAway, "", func(t *testing.T, c *Config) { c.DatabaseURL = with(t, c.DatabaseURL, "payaid", "wrong") }},
		{"the login doesn't see every row", LoginTooWeak, "", weakLogin},
		{"the disk is full", DiskFull, "", func(t *testing.T, c *Config) { c.Dir = fullDisk(t) }},
		{"the server stops in the middle", DatabaseAway, `$REAL "$@" | (head -c 300000; kill -QUIT $(cat STOP); cat); exit ${PIPESTATUS[0]}`, nil},
		{"the folder is open to all", FolderUnusable, "", func(t *testing.T, c *Config) { check(t, os.Chmod(c.Dir, 0o755)) }},
	}
	var mu sync.Mutex
	var lines []string
	lies := 0
	t.Run("disasters", func(t *testing.T) {
		for _, d := range disasters {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				theirs, ours := s.suffer(t, d)
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("%-40s | %-48s | %s", d.name, theirs, ours))
				if d.code != "" && strings.HasPrefix(theirs, "success") {
					lies++
				}
			})
		}
	})
	slices.Sort(lines)
	t.Logf("\n%-40s | %-48s | %s\n%s", "disaster", "the usual script says", "payaid says", strings.Join(lines, "\n"))
	if lies < 3 {
		t.Errorf("the usual script reports %d disasters as successes: the test no longer shows what it should", lies)
	}
}

// suffer has both work under one disaster, and gives what they say.
func (s *site) suffer(t *testing.T, d disaster) (theirs, ours string) {
	t.Helper()
	c := Config{DatabaseURL: s.url, Dir: privateFolder(t), LockID: 7}
	if strings.Contains(d.shim, "STOP") {
		private, pg := privateSite(t)
		c.DatabaseURL = private.url
		// It is started again each time, with another number.
		pidFile := filepath.Join(t.TempDir(), "pid")
		d.shim = strings.ReplaceAll(d.shim, "STOP", pidFile)
		defer func() { check(t, pg.WaitReady(t.Context())) }()
		d.change = func(t *testing.T, _ *Config) {
			check(t, pg.WaitReady(t.Context()))
			check(t, os.WriteFile(pidFile, fmt.Append(nil, pg.Pid()), 0o600))
		}
	}
	path := os.Getenv("PATH")
	if d.shim != "" {
		dir := shim(t, d.shim)
		c.Binaries, path = dir, dir+":"+path
	}
	if d.change != nil {
		d.change(t, &c)
	}
	theirs = sufferUsual(t, c, path)
	if strings.Contains(d.shim, "kill -QUIT") {
		d.change(t, &c)
	}
	clean(t, c.Dir)
	m, err := newKeeper(t, c).Make(t.Context(), MakeOptions{})
	if d.code == "" {
		check(t, err)
		return theirs, fmt.Sprintf("success, %d bytes", m.Bytes)
	}
	f := wantFault(t, err, d.code)
	if err := os.Chmod(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(c.Dir, "*payaid*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%q is left behind (%v)", left, err)
	}
	return theirs, f.Code + ": " + f.Detail[:min(len(f.Detail), 90)]
}

// sufferUsual runs the usual script, and says what it said and what it made.
func sufferUsual(t *testing.T, c Config, path string) string {
	t.Helper()
	script := exec.CommandContext(t.Context(), "bash", "-c", usual)
	script.Env = append(os.Environ(), "PATH="+path, "BACKUP_DIR="+c.Dir, "DATABASE="+c.DatabaseURL)
	out, err := script.Output()
	made, _ := filepath.Glob(filepath.Join(c.Dir, "*.sql.gz"))
	if err != nil || !strings.Contains(string(out), "successful") || len(made) != 1 {
		return fmt.Sprintf("failure (%v)", err)
	}
	info, err := os.Stat(made[0])
	check(t, err)
	whole := "which is no gzip file"
	if exec.CommandContext(t.Context(), "gzip", "-t", made[0]).Run() == nil {
		whole = "which gzip likes"
	}
	return fmt.Sprintf("success, %d bytes %s", info.Size(), whole)
}

func clean(t *testing.T, dir string) {
	t.Helper()
	made, _ := filepath.Glob(filepath.Join(dir, "*.sql.gz"))
	for _, name := range made {
		check(t, os.Remove(name))
	}
}

// olderThanServer is a real server that is newer than the only pg_dump there is.
func olderThanServer(t *testing.T, c *Config) {
	pg := localstack.TestPostgresOf(t, 18)
	if _, err := findClient(t.Context(), "", 18, "pg_dump"); err == nil {
		t.Skip("pg_dump 18 is installed: there is no newer server than it")
	}
	c.DatabaseURL = pg.URL(pg.NewDatabase(t, ""))
}

func with(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	check(t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

// weakLogin may read every table, and sees the rows of no organization.
func weakLogin(t *testing.T, c *Config) {
	t.Helper()
	conn := connect(t, c.DatabaseURL)
	name := "weak_" + conn.Config().Database
	run(t, conn, `CREATE ROLE `+name+` LOGIN PASSWORD 'weak'`)
	run(t, conn, `GRANT USAGE ON SCHEMA public TO `+name)
	run(t, conn, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+name)
	run(t, conn, `GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO `+name)
	super := localstack.TestPostgres(t).SuperURL(conn.Config().Database)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), super)
		check(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), `DROP OWNED BY `+name+`; DROP ROLE `+name)
		check(t, err)
	})
	c.DatabaseURL = with(t, c.DatabaseURL, name, "weak")
}

// fullDisk has room for a file's name, and for nothing in it.
func fullDisk(t *testing.T) string {
	t.Helper()
	disk := smallDisk(t, "size=1m")
	dir := filepath.Join(disk, "backups")
	check(t, os.Mkdir(dir, 0o700))
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is larger than it should be")
	}
	var s syscall.Statfs_t
	check(t, syscall.Statfs(disk, &s))
	if s.Bavail != 0 {
		t.Fatalf("%d blocks are free", s.Bavail)
	}
	return dir
}
