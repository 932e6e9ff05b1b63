package localstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// said is a log handler that hands over every message.
type said chan string

func (s said) Enabled(context.Context, slog.Level) bool      { return true }
func (s said) Handle(_ context.Context, r slog.Record) error { s <- r.Message; return nil }
func (s said) WithAttrs([]slog.Attr) slog.Handler            { return s }
func (s said) WithGroup(string) slog.Handler                 { return s }
func (s said) drain() (all []string) {
	for len(s) > 0 {
		all = append(all, <-s)
	}
	return all
}

const waits = "waiting for the end of a postgres that was killed"

// The parent and all that it started are killed in the same moment, again and
// again, and each time the next start comes at once.
func TestStartAfterAllWereKilledAtOnce(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	if err := copyTemplateCluster(t.Context(), PostgresOptions{Dir: filepath.Join(dir, "postgres")}); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		parent := exec.Command(os.Args[0])
		parent.Env = append(os.Environ(), asParent+"="+dir)
		parent.Stderr = os.Stderr
		out, err := parent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("the start after %d kills: %v", round, err)
		}
		var pgPid int
		if _, err := fmt.Sscan(line, &pgPid); err != nil {
			t.Fatal(err)
		}
		for _, pid := range append(descendants(parent.Process.Pid), parent.Process.Pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		parent.Wait()
	}
}

// leftPostmaster runs a postmaster that is no child of a Process, and gives the
// options that a next one starts with.
func leftPostmaster(t *testing.T) (PostgresOptions, *exec.Cmd, said) {
	t.Helper()
	o := PostgresOptions{Dir: testDir(t)}
	pg, err := startTestPostgres(t.Context(), o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := exec.Command(pg.o.path, pg.o.args...)
	left.Env, left.Dir = childEnv, "/"
	left.SysProcAttr = childAttr(syscall.SIGQUIT, pg.o.credential)
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := make(said, 100)
	o.Log = slog.New(log)
	return o, left, log
}

func TestPostgresStartsThoughTheLastIsAZombie(t *testing.T) {
	t.Parallel()
	o, left, _ := leftPostmaster(t)
	left.Process.Kill()
	defer left.Wait()
	pg, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop(context.Background())
	if stateOf(left.Process.Pid) != zombie {
		t.Error("the last one was no zombie")
	}
}

// A server of a killed postmaster that has not noticed may still write: nothing
// is started beside it, and the lock file stays.
func TestPostgresWaitsForTheServersOfAKilledOne(t *testing.T) {
	t.Parallel()
	for name, reap := range map[string]func(*exec.Cmd){
		"reaped": func(c *exec.Cmd) { c.Wait() },
		"zombie": func(c *exec.Cmd) { t.Cleanup(func() { c.Wait() }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, left, log := leftPostmaster(t)
			server := descendants(left.Process.Pid)[0]
			syscall.Kill(server, syscall.SIGSTOP)
			defer syscall.Kill(server, syscall.SIGKILL)
			left.Process.Kill()
			reap(left)

			started := make(chan error, 1)
			go func() {
				pg, err := StartPostgres(t.Context(), o)
				if err == nil {
					err = pg.Stop(context.Background())
				}
				started <- err
			}()
			select {
			case message := <-log:
				if message != waits {
					t.Errorf("it says %q", message)
				}
			case err := <-started:
				t.Fatalf("it did not wait: %v", err)
			}
			select {
			case err := <-started:
				t.Fatalf("it did not wait: %v", err)
			case <-time.After(time.Second):
			}
			if f := readPostmasterFile(filepath.Join(o.Dir, "data")); f.pid != left.Process.Pid {
				t.Errorf("the lock file has %+v, want process %d", f, left.Process.Pid)
			}
			syscall.Kill(server, syscall.SIGKILL)
			if err := <-started; err != nil {
				t.Error(err)
			}
			if all := log.drain(); slices.Contains(all, waits) {
				t.Errorf("it says more than once that it waits: %q", all)
			}
		})
	}
}

func TestPostgresStopsWaitingWhenAsked(t *testing.T) {
	t.Parallel()
	o, left, log := leftPostmaster(t)
	server := descendants(left.Process.Pid)[0]
	syscall.Kill(server, syscall.SIGSTOP)
	defer syscall.Kill(server, syscall.SIGKILL)
	left.Process.Kill()
	left.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-log:
			cancel()
		case <-ctx.Done():
		}
	}()
	if _, err := StartPostgres(ctx, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was killed in "+o.Dir) {
		t.Errorf("asked to end while it waits: %v", err)
	}
}
