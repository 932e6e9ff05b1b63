package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// A site is a database that was backed up once, before something goes wrong.
type site struct {
	url, dir string
	keeper   *Keeper
	before   map[string]string // checksums of the files
}

// rows make a dump that fits into no buffer between pg_dump and us.
const rows = 60_000

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOn(t, newDatabase(t))
}

func newSiteOn(t *testing.T, url string) *site {
	t.Helper()
	s := &site{url: url, dir: newFolder(t)}
	fill(t, url, rows)
	s.keeper = newKeeper(t, Config{DatabaseURL: url, Dir: s.dir})
	if _, err := s.keeper.Make(t.Context(), MakeOptions{}); err != nil {
		t.Fatal(err)
	}
	s.before = s.files(t)
	return s
}

// privateSite has a Postgres of its own, which may be killed.
func privateSite(t *testing.T) (*site, *localstack.Postgres) {
	t.Helper()
	pg := localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "payaid", ""); err != nil {
		t.Fatal(err)
	}
	url := pg.URL("payaid")
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return newSiteOn(t, url), pg
}

func (s *site) files(t *testing.T) map[string]string {
	t.Helper()
	list, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]string)
	for _, file := range list {
		raw, err := os.ReadFile(filepath.Join(s.dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sums[file.Name()] = fmt.Sprintf("%x", sha256.Sum256(raw))
	}
	return sums
}

// untouched wants what was there before, to the byte, and nothing else; and that nobody works on any more.
func (s *site) untouched(t *testing.T) {
	t.Helper()
	if now := s.files(t); !maps.Equal(now, s.before) {
		t.Errorf("the folder holds %v, want %v", now, s.before)
	}
	list, err := s.keeper.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Good() {
		t.Errorf("got backups %+v (%v), want the one from before", list, err)
	}
	s.quiet(t)
}

// quiet waits until no session of a backup is left.
func (s *site) quiet(t *testing.T) {
	t.Helper()
	conn := connect(t, s.url)
	eventually(t, "sessions of the backup end", func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'payaid-backup%'`).Scan(&n)
		return err == nil && n == 0
	})
}

// again wants the next backup to succeed.
func (s *site) again(t *testing.T) {
	t.Helper()
	k := newKeeper(t, Config{DatabaseURL: s.url, Dir: s.dir})
	m, err := k.Make(t.Context(), MakeOptions{})
	if err != nil {
		t.Fatalf("the next backup: %v", err)
	}
	unpack(t, s.dir, m)
	for name := range s.files(t) {
		if strings.HasSuffix(name, unfinishedEnding) {
			t.Errorf("%s is still there", name)
		}
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func realDump(t *testing.T) string {
	t.Helper()
	pg := localstack.TestPostgres(t)
	var major int
	if err := connect(t, pg.URL("postgres")).QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int / 10000`).Scan(&major); err != nil {
		t.Fatal(err)
	}
	c, err := findClient(t.Context(), "", major, "pg_dump")
	if err != nil {
		t.Fatal(err)
	}
	return c.path("pg_dump")
}

// shim is a folder with a pg_dump that does the script's work; in it, $REAL is Postgres' own.
func shim(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/bash\nREAL=" + realDump(t) + "\n[ \"$1\" = --version ] && exec $REAL --version\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "pg_dump"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// working lists the processes whose program is in dir.
func working(dir string) (pids []string) {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range list {
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(dir+"/pg_")) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

// An other is a backup in another process, which stands still in the middle of its dump.
type other struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// otherSettings are what another process is to do.
const otherSettings = "PAYAID_TEST_BACKUP"

// startOther returns when the other process is in the middle of its dump.
func startOther(t *testing.T, c Config) *other {
	t.Helper()
	return startOtherTo(t, c, Dumping)
}

// startOtherTo has the other process back up, or verify what there is, and returns when it is in the middle of it.
func startOtherTo(t *testing.T, c Config, stage string) *other {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"DatabaseURL": c.DatabaseURL, "Dir": c.Dir, "Binaries": c.Binaries, "Stage": stage})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &other{cmd: exec.CommandContext(t.Context(), program)}
	o.cmd.Env = append(os.Environ(), otherSettings+"="+string(raw))
	o.cmd.Stderr = os.Stderr
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReader(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill(); _ = o.cmd.Wait() })
	if line, err := o.out.ReadString('\n'); err != nil || line != stage+"\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	return o
}

// beOther is what the other process does: in the middle of it, it stands still until its input ends.
func beOther(settings string) int {
	var c struct {
		Config
		Stage string
	}
	if err := json.Unmarshal([]byte(settings), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	c.LockID = migrations.LockID
	k, err := New(c.Config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	stood := false
	stand := func(p Progress) {
		if p.Stage == c.Stage && p.Bytes > 0 && !stood {
			stood = true
			fmt.Println(c.Stage)
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
	}
	if c.Stage == Dumping {
		_, err = k.Make(context.Background(), MakeOptions{Progress: stand})
	} else {
		_, err = k.Verify(context.Background(), Latest, stand)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("made")
	return 0
}
