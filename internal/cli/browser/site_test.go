package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/operator"
)

// patience is how long anything may take. CI is slow: two cores, the race detector, and a browser.
const patience = 2 * time.Minute

const adminKey = "an-admin-key-of-at-least-32-characters"

// A site is an installation that runs.
type site struct {
	url    string
	client operator.Client
}

// start runs everything on an empty folder, until the test ends. args go to `payaid up`.
func start(t *testing.T, args ...string) *site {
	t.Helper()
	if *atFlag != "" {
		return &site{*atFlag, operator.Client{URL: *atFlag, Key: *keyFlag}}
	}
	data, err := os.MkdirTemp("", "payaid-test-browser-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o711); err != nil { // Postgres runs as somebody else
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.Command(binary, append([]string{"up", "--data", data + "/data", "--listen", address}, args...)...)
	cmd.Env = []string{asProcess + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"PAYAID_ADMIN_KEY=" + adminKey, "OLLAMA_URL=http://127.0.0.1:1", "RATELIMIT_ENABLED=false"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	said := run(t, cmd)
	awaited := "PayAid is ready"
	if len(args) > 0 {
		awaited = "What is asked about the organization's own records" // the last words of the demo, without a model
	}
	deadline := time.After(2 * patience)
	for ready := false; !ready; {
		select {
		case line, open := <-said:
			if !open {
				t.Fatal("payaid up has ended")
			}
			ready = strings.Contains(line, awaited)
		case <-deadline:
			t.Fatalf("payaid up does not say %q", awaited)
		}
	}
	go func() {
		for range said { // it must not wait for a reader
		}
	}()
	return &site{"http://" + address, operator.Client{URL: "http://" + address, Key: adminKey}}
}

// run starts a command, gives the lines that it writes, and ends it with the test.
func run(t *testing.T, cmd *exec.Cmd) <-chan string {
	t.Helper()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.WaitDelay = 10 * time.Second
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		// The kernel sends the parent-death signal when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		_ = in.Close()
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.Contains(s.Text(), "DATA RACE") || strings.Contains(s.Text(), "handler panicked") || strings.Contains(s.Text(), "page failed") {
				t.Error(s.Text())
			}
			lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	return lines
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// do asks the API, and fails the test where it refuses.
func (s *site) do(t *testing.T, method, path string, in, out any) {
	t.Helper()
	insist(t, func(ctx context.Context) error { return s.client.Do(ctx, method, path, in, out) })
}

// get reads what the API has at a path.
func (s *site) get(t *testing.T, path string, query url.Values, out any) {
	t.Helper()
	insist(t, func(ctx context.Context) error { return s.client.Get(ctx, path, query, out) })
}

// insist asks again where the service has not done it for want of the database, as that of a busy machine may be.
func insist(t *testing.T, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if !operator.IsCode(err, "unavailable") || ctx.Err() != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
	}
}

// key makes a key of the operator's.
func (s *site) key(t *testing.T, scopes ...string) string {
	t.Helper()
	var made struct {
		Key string `json:"key"`
	}
	s.do(t, "POST", "/api/api-keys", map[string]any{"name": fmt.Sprint("made by ", t.Name()), "scopes": scopes}, &made)
	return made.Key
}
