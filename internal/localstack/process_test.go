package localstack

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// warnings is a log handler that hands over what is logged at warn and above.
type warnings chan slog.Record

func (w warnings) Enabled(_ context.Context, l slog.Level) bool  { return l >= slog.LevelWarn }
func (w warnings) Handle(_ context.Context, r slog.Record) error { w <- r; return nil }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler            { return w }
func (w warnings) WithGroup(string) slog.Handler                 { return w }
func attribute(r slog.Record, key string) (value string, ok bool) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value, ok = a.Value.String(), true
		}
		return !ok
	})
	return value, ok
}

// startShell runs a script that is ready when it has made the file $READY.
func startShell(t *testing.T, script string) (*Process, *workdir, warnings, error) {
	t.Helper()
	logged := make(warnings, 100)
	dir, err := openWorkdir(testDir(t), slog.New(logged))
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(t.Context(), processOptions{
		name:       "shell",
		path:       "/bin/sh",
		args:       []string{"-c", script},
		env:        []string{"READY=" + dir.join("ready")},
		stopSignal: syscall.SIGTERM,
		ready: func(context.Context) error {
			_, err := os.Stat(dir.join("ready"))
			return err
		},
		dir: dir,
		log: dir.log,
	})
	return p, dir, logged, err
}

func TestAProcessThatEndsIsStartedAgainAndItsWordsAreLogged(t *testing.T) {
	t.Parallel()
	p, _, logged, err := startShell(t, `touch $READY; echo "something to say"; echo "I am $$"; sleep 600`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		before := p.Pid()
		for before == 0 { // between two lives
			before = p.Pid()
		}
		p.Kill()
		r := <-logged
		if words, _ := attribute(r, "log"); !strings.Contains(words, "something to say") {
			t.Errorf("logged: %s, with the words %q", r.Message, words)
		}
		if cause, _ := attribute(r, "cause"); cause != "signal: killed" {
			t.Errorf("logged: %s, with the cause %q", r.Message, cause)
		}
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if p.Pid() != 0 {
		t.Error("it runs after it was stopped")
	}
	if len(logged) != 0 {
		t.Errorf("a stop that was asked for is logged: %s", (<-logged).Message)
	}
}

func TestAProcessThatKeepsEndingIsStoppedBetweenTwoLives(t *testing.T) {
	t.Parallel()
	p, _, logged, err := startShell(t, `touch $READY; while [ ! -e $READY.go ]; do sleep 0.01; done; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.o.dir.join("ready.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 4 {
		if cause, _ := attribute(<-logged, "cause"); cause != "exit status 3" {
			t.Errorf("it is said to have ended with %q", cause)
		}
	}
	// Three restarts lie between four ends: 50, 100 and 200 ms.
	if waited := time.Since(begin); waited < 350*time.Millisecond {
		t.Errorf("restarted three times within %s: there is no backoff", waited)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatDoesNotStopIsKilledWithAllItStarted(t *testing.T) {
	t.Parallel()
	p, dir, _, err := startShell(t, `trap "" TERM; sleep 600 & touch $READY; wait; sleep 600`)
	if err != nil {
		t.Fatal(err)
	}
	pid, below := p.Pid(), descendants(p.Pid())
	if len(below) == 0 {
		t.Fatal("the shell has started nothing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopping it: %v", err)
	}
	for _, pid := range append(below, pid) {
		waitGone(t, pid)
	}
	again, err := openWorkdir(dir.path, nil)
	if err != nil {
		t.Fatalf("its folder is still taken: %v", err)
	}
	again.close()
}

func TestAProcessSeesNothingOfOurEnvironment(t *testing.T) {
	t.Setenv("PAYAID_SECRET", "do not tell")
	p, dir, _, err := startShell(t, `env; touch $READY; sleep 600`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(t.Context())
	if env := dir.logTail("shell", 50); strings.Contains(env, "do not tell") || !strings.Contains(env, "TZ=UTC") {
		t.Errorf("its environment is\n%s", env)
	}
}

func TestALogThatGrewTooLargeIsPutAside(t *testing.T) {
	t.Parallel()
	dir, err := openWorkdir(testDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	out, err := dir.openLog("shell")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for range 2 {
		if err := out.Truncate(maxLogSize + 1); err != nil {
			t.Fatal(err)
		}
		if err := dir.boundLog("shell"); err != nil {
			t.Fatal(err)
		}
		if err := writeAll(out, "and on it goes\n"); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int64{"shell.log": 15, "shell.log.1": maxLogSize + 1} {
			info, err := os.Stat(dir.join(name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() != want {
				t.Errorf("%s has %d bytes, want %d", name, info.Size(), want)
			}
		}
	}
}

// TestNothingIsBelowNoProcess: a service that is being started again has the pid 0, and whoever kills what is below
// that would kill processes of the whole machine.
func TestNothingIsBelowNoProcess(t *testing.T) {
	t.Parallel()
	if below := descendants(0); len(below) > 0 {
		t.Errorf("%d processes are below 0", len(below))
	}
	if below := descendants(1); len(below) == 0 {
		t.Error("there is no process below the first")
	}
}
