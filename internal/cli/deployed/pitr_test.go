package deployed

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// words gathers what a program says.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// pitr is pitr.sh with what compose.yaml gives it.
type pitr struct {
	*server
	dir string
	env []string
}

func newPITR(t *testing.T, s *server) *pitr {
	t.Helper()
	p := &pitr{server: s, dir: filepath.Join(s.dir, "pitr")}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.env = append(s.env(t), "PGUSER=payaid_wal", "PITR_PASSWORD_FILE="+filepath.Join(s.secrets, "postgres_wal_password"),
		"PITR_DIR="+p.dir, "PITR_LOOK_SECONDS=1", "TZ=UTC")
	return p
}

func (p *pitr) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := p.program(t, p.env, append([]string{"bash", deploy + "postgres/pitr.sh"}, args...)...).CombinedOutput()
	return string(out), err
}

// receive copies until it is ended.
func (p *pitr) receive(t *testing.T) (end func()) {
	t.Helper()
	cmd := p.program(t, p.env, "bash", deploy+"postgres/pitr.sh", "receive")
	said := &words{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	until(t, "the copy gets on", func() error {
		out, err := p.run(t, "healthy")
		if err != nil {
			err = fmt.Errorf("%w: %s\n%s", err, out, said)
		}
		return err
	})
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("it ended with %v\n%s", err, said)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("it goes on\n%s", said)
		}
	}
}

func until(t *testing.T, what string, ask func() error) {
	t.Helper()
	var err error
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(100 * time.Millisecond); time.Now().Before(deadline); <-tick.C {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// goBack restores into the place of the server's folder, and starts it there.
func (p *pitr) goBack(t *testing.T, aside string, flags ...string) *pgx.Conn {
	t.Helper()
	p.stop(t, p.Postgres)
	data := filepath.Join(p.server.dir, "postgres", "data")
	restored := filepath.Join(p.server.dir, "restored")
	if out, err := p.run(t, append([]string{"restore", restored}, flags...)...); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	owner, err := os.Stat(data)
	if err == nil {
		err = os.Rename(data, filepath.Join(p.server.dir, aside))
	}
	if err == nil {
		err = os.Rename(restored, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	// In the container they are of one user from the beginning.
	stat := owner.Sys().(*syscall.Stat_t)
	for _, root := range []string{data, p.dir} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = os.Lchown(path, int(stat.Uid), int(stat.Gid))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p.start(t)
	// Who is let in finds all of it read, as the product would write at once.
	var conn *pgx.Conn
	until(t, "the log is read", func() (err error) {
		conn, err = pgx.Connect(t.Context(), p.SuperURL("payaid"))
		return err
	})
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	var reading bool
	if err := conn.QueryRow(t.Context(), `SELECT pg_is_in_recovery()`).Scan(&reading); err != nil || reading {
		t.Errorf("it lets in before it has read the log: %v (%v)", reading, err)
	}
	return conn
}

func notes(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `SELECT note FROM notes ORDER BY note`)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What was committed up to a moment is there again, and nothing later; without a moment, all that was received.
func TestPointInTime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPITR(t, s)
	conn := connect(t, s.SuperURL("payaid"))
	execute(t, conn, `CREATE TABLE notes (note text)`)
	execute(t, conn, `INSERT INTO notes VALUES ('before the copy')`)
	if out, err := p.run(t, "healthy"); err == nil {
		t.Errorf("nothing is copied, and it is healthy: %s", out)
	}
	end := p.receive(t)
	// A target is looked for in whole seconds of the copies' names.
	until(t, "a second has passed", func() error {
		if names, _ := filepath.Glob(p.dir + "/base/2*"); len(names) == 1 && time.Now().UTC().Format("20060102T150405Z") > filepath.Base(names[0]) {
			return nil
		}
		return fmt.Errorf("not yet")
	})
	execute(t, conn, `INSERT INTO notes VALUES ('in the log')`)
	var moment time.Time
	if err := conn.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&moment); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `SELECT pg_switch_wal()`)
	execute(t, conn, `DELETE FROM notes`)
	execute(t, conn, `INSERT INTO notes VALUES ('after the mistake')`)
	until(t, "the end of the log was received", func() error {
		var received bool
		err := conn.QueryRow(t.Context(), `SELECT coalesce(bool_and(flush_lsn >= pg_current_wal_lsn()), false) FROM pg_stat_replication`).Scan(&received)
		if err == nil && !received {
			err = fmt.Errorf("not yet")
		}
		return err
	})
	end()
	if out, err := p.run(t, "list"); err != nil || strings.Count(out, "from soon after") != 1 || strings.Count(out, "to ") != 1 {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err := p.run(t, "restore", p.dir); err == nil || !strings.Contains(out, "is not empty") {
		t.Errorf("it would write into a folder that is in use: %v %s", err, out)
	}
	if out, err := p.run(t, "restore", p.dir+"/new", "--time", "2020-01-01 00:00:00Z"); err == nil || !strings.Contains(out, "no copy of the files from before") {
		t.Errorf("there is a way back to 2020: %v %s", err, out)
	}
	back := p.goBack(t, "lost", "--time", moment.UTC().Format("2006-01-02 15:04:05.000000+00"))
	if got, want := notes(t, back), []string{"before the copy", "in the log"}; !slices.Equal(got, want) {
		t.Errorf("at that moment there were %q, want %q", got, want)
	}
	end2 := p.goBack(t, "first")
	if got, want := notes(t, end2), []string{"after the mistake"}; !slices.Equal(got, want) {
		t.Errorf("in the end there were %q, want %q", got, want)
	}
	if out, err := p.run(t, "anew"); err != nil {
		t.Errorf("anew: %v\n%s", err, out)
	}
	p.receive(t)()
}

// Copies that are beyond those to keep go, with the log that only they need.
func TestOldCopiesGo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPITR(t, s)
	p.env = append(p.env, "PITR_BASE_DAYS=0", "PITR_KEEP_BASES=2")
	conn := connect(t, s.SuperURL("payaid"))
	end := p.receive(t)
	copies := func() []string {
		names, err := filepath.Glob(p.dir + "/base/2*")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	segments := func() []string {
		names, err := filepath.Glob(p.dir + "/wal/0*")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	first, oldest := copies()[0], segments()[0]
	execute(t, conn, `CREATE TABLE notes (note text)`)
	until(t, "the first copy is gone", func() error {
		execute(t, conn, `INSERT INTO notes VALUES ('x')`)
		execute(t, conn, `SELECT pg_switch_wal()`)
		if now := copies(); slices.Contains(now, first) || len(now) > 3 || len(now) < 2 {
			return fmt.Errorf("%v", now)
		}
		if slices.Contains(segments(), oldest) {
			return fmt.Errorf("%s is there", oldest)
		}
		return nil
	})
	end()
	if back := p.goBack(t, "lost"); len(notes(t, back)) == 0 {
		t.Error("what is left doesn't lead to the end")
	}
}

// A copy counts when the log of the time that it took was received: without it no server would start on it.
func TestACopyWaitsForItsLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPITR(t, s)
	p.env = append(p.env, "PITR_BASE_DAYS=0")
	end := p.receive(t)
	receiver, err := os.ReadFile(p.dir + "/receiving")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(receiver)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The one that was being made then may still have its log; the next one can't.
	stuck := ""
	until(t, "a copy is made while nothing is received", func() error {
		newest, err := os.Stat(p.dir + "/base/.making/backup_manifest")
		if err != nil {
			return err
		}
		if now := newest.ModTime().String(); now != stuck || time.Since(newest.ModTime()) < 3*time.Second {
			stuck = now
			return fmt.Errorf("it has just been made")
		}
		return nil
	})
	named, err := filepath.Glob(p.dir + "/base/2*")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "it counts", func() error {
		if now, _ := filepath.Glob(p.dir + "/base/2*"); len(now) > 0 && now[len(now)-1] == named[len(named)-1] {
			return fmt.Errorf("it doesn't yet")
		}
		return nil
	})
	end()
	conn := p.goBack(t, "lost")
	execute(t, conn, `CREATE TABLE notes (note text)`)
}

// It ends when it is told to, and what it runs with it, also amid a copy, which may take longer than a container is given
// to end.
func TestItEndsAmidACopy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPITR(t, s)
	slow := t.TempDir()
	double := "#!/bin/sh\n[ -e " + slow + "/now ] || { PATH=${PATH#*:} exec pg_basebackup \"$@\"; }\necho $$ >" + slow + "/pid.new\nmv " + slow + "/pid.new " + slow + "/pid\nexec sleep 600\n"
	if err := os.WriteFile(slow+"/pg_basebackup", []byte(double), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, one := range p.env {
		if path, ok := strings.CutPrefix(one, "PATH="); ok {
			p.env[i] = "PATH=" + slow + ":" + path
		}
	}
	p.env = append(p.env, "PITR_BASE_DAYS=0")
	end := p.receive(t)
	if err := os.WriteFile(slow+"/now", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var pid []byte
	until(t, "a slow copy is made", func() (err error) {
		pid, err = os.ReadFile(slow + "/pid")
		return err
	})
	end()
	until(t, "the copying has ended", func() error {
		// Of a process that nobody has waited for yet, this is empty.
		if line, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cmdline"); len(line) > 0 {
			return fmt.Errorf("process %s runs %q", pid, line)
		}
		return nil
	})
	if out, err := p.run(t, "healthy"); err == nil {
		t.Errorf("it has ended, and is healthy: %s", out)
	}
}

// A receiver that is killed while it makes the file of the next segment leaves a part of it: the next one goes on, and a
// restored server reads all that came before.
func TestAPartOfASegment(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPITR(t, s)
	conn := connect(t, s.SuperURL("payaid"))
	execute(t, conn, `CREATE TABLE notes (note text)`)
	// part ends a receiver when the notes so far are received, and puts a part of a file where the next segment goes.
	part := func(note string) {
		t.Helper()
		end := p.receive(t)
		execute(t, conn, `INSERT INTO notes VALUES ($1)`, note)
		var last string
		if err := conn.QueryRow(t.Context(), `SELECT pg_walfile_name(pg_switch_wal())`).Scan(&last); err != nil {
			t.Fatal(err)
		}
		until(t, "the segment was received", func() error {
			_, err := os.Stat(filepath.Join(p.dir, "wal", last))
			return err
		})
		end()
		number, err := strconv.ParseUint(last[16:], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		next := filepath.Join(p.dir, "wal", fmt.Sprintf("%s%08X.partial", last[:16], number+1))
		if err := os.WriteFile(next, make([]byte, 8192*579), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	part("the first")
	part("the second")
	back := p.goBack(t, "lost")
	if got, want := notes(t, back), []string{"the first", "the second"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}
