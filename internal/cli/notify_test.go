package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// manager stands in for systemd: a datagram socket at which processes tell how they do.
type manager struct {
	address string
	told    chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a test's own folder has a name too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &manager{address: filepath.Join(dir, "s"), told: make(chan string, 1000)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			m.told <- string(buffer[:n])
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		reading.Wait()
	})
	return m
}

// await gives the next message that has a line, and fails the test when something else comes that must not.
func (m *manager) await(t *testing.T, line string, within time.Duration, never ...string) {
	t.Helper()
	deadline := time.After(within)
	for {
		select {
		case state := <-m.told:
			lines := strings.Split(state, "\n")
			if slices.Contains(lines, line) {
				return
			}
			for _, bad := range never {
				if slices.Contains(lines, bad) {
					t.Fatalf("%q was told before %q", bad, line)
				}
			}
		case <-deadline:
			t.Fatalf("no %q within %s", line, within)
		}
	}
}

// silent fails the test when a line is told within a time.
func (m *manager) silent(t *testing.T, line string, quiet time.Duration) {
	t.Helper()
	over := time.After(quiet)
	for {
		select {
		case state := <-m.told:
			if slices.Contains(strings.Split(state, "\n"), line) {
				t.Fatalf("%q was told", line)
			}
		case <-over:
			return
		}
	}
}

// program is a process of the product, with a log that is shown when the test fails.
type program struct {
	*exec.Cmd
	exited chan struct{}
	err    error
	log    logLines
}

// startProgram runs a line as a shell does, in an environment of its own, and kills it with the test.
func startProgram(t *testing.T, line string, env ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command("sh", "-c", "exec "+line), exited: make(chan struct{})}
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}, env...)
	p.Stdout, p.Stderr = &p.log, &p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", line, p.log.String())
		}
	})
	return p
}

// terminate asks it to end, and fails the test unless it does so well.
func (p *program) terminate(t *testing.T, within time.Duration) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("it ended with %v", p.err)
		}
	case <-time.After(within):
		t.Errorf("it goes on %s after it was told to stop", within)
	}
}

// Every type of process says that it is ready when it works and not before, that it lives while its own loop goes
// round, and that it stops.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	pg, _ := localstack.TestTemplate(t, migrations.Up)
	nats, redis := localstack.TestNATS(t), localstack.TestRedis(t)
	for name, line := range map[string]string{
		"api": "payaid api --listen 127.0.0.1:0", "relay": "payaid relay", "worker": "payaid worker --queue cache",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := pg.URL(pg.NewDatabase(t, "")) // not migrated yet, so nothing works
			gate := localstack.NewGate(t, databaseHost(t, database))
			m := newManager(t)
			p := startProgram(t, line, "DATABASE_URL="+strings.Replace(database, databaseHost(t, database), gate.Addr(), 1),
				"NATS_URL="+nats.URL(), "REDIS_URL="+redis.URL(), "NOTIFY_SOCKET="+m.address, "WATCHDOG_USEC=4000000")
			p.log.await(t, "database can't be used")
			m.silent(t, "READY=1", 300*time.Millisecond)
			if _, err := migrations.Up(t.Context(), database); err != nil {
				t.Fatal(err)
			}
			m.await(t, "READY=1", 20*time.Second, "WATCHDOG=1", "STOPPING=1")
			m.await(t, "WATCHDOG=1", 10*time.Second, "READY=1", "STOPPING=1")
			// Without its database it does what it can, and is no reason to start it anew.
			gate.Shut()
			for range 3 {
				m.await(t, "WATCHDOG=1", 10*time.Second, "STOPPING=1")
			}
			gate.Open()
			// The manager asks a process that hangs to do nothing, and hears nothing.
			if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			drained(m)
			m.silent(t, "WATCHDOG=1", 4*time.Second)
			if err := p.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			m.await(t, "WATCHDOG=1", 10*time.Second, "STOPPING=1")
			p.terminate(t, 20*time.Second)
			m.await(t, "STOPPING=1", 5*time.Second, "READY=1")
		})
	}
}

// drained forgets what was told already.
func drained(m *manager) {
	for {
		select {
		case <-m.told:
		default:
			return
		}
	}
}

// An API that answers nobody any more shows no life, though its process runs.
func TestAPIThatAnswersNobodyIsSilent(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	env := map[string]string{"NOTIFY_SOCKET": m.address, "WATCHDOG_USEC": "400000"}
	a := &app{lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	ctx, stop := context.WithCancel(t.Context())
	n, err := a.serviceManager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.watchAPI(ctx, func(ctx context.Context) error {
			select {
			case err := <-answers:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	m.await(t, "READY=1", 5*time.Second)
	answers <- nil
	m.await(t, "WATCHDOG=1", 5*time.Second)
	answers <- errors.New("500")
	m.silent(t, "WATCHDOG=1", time.Second)
	answers <- nil
	m.await(t, "WATCHDOG=1", 5*time.Second)
	stop()
	<-ended
	n.close()
	m.await(t, "STOPPING=1", 5*time.Second)
	m.silent(t, "STOPPING=1", 100*time.Millisecond) // once
}

// What the manager did not say asks for nothing, and an address at which nobody listens is told.
func TestServiceManagerOfNobody(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"no socket":        {"WATCHDOG_USEC": "1000000"},
		"an empty one":     {"NOTIFY_SOCKET": ""},
		"another's signs":  {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
		"no number":        {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "soon"},
		"a negative one":   {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "-5"},
		"more than a time": {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "9223372036854775807"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
			if env["NOTIFY_SOCKET"] != "" {
				if d := a.watchdog(); d != 0 {
					t.Errorf("signs of life within %s are wanted", d)
				}
				return
			}
			n, err := a.serviceManager(t.Context())
			if n != nil || err != nil {
				t.Fatalf("got %v, %v", n, err)
			}
			n.alive()
			n.watchAPI(t.Context(), nil)
			n.close()
		})
	}
	a := &app{lookup: func(string) (string, bool) { return "/nowhere/at/all", true }}
	if _, err := a.serviceManager(t.Context()); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v", err)
	}
}
