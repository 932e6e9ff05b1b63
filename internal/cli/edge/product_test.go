package edge

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// patience is how long anything may take. CI is slow: two cores, and the race detector.
const patience = 2 * time.Minute

const adminKey = "an-admin-key-of-at-least-32-characters"

// A product is the services that processes of the API share.
type product struct{ env []string }

func newProduct(t *testing.T) product {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	return product{[]string{
		asProcess + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"DATABASE_URL=" + pg.URL(pg.NewDatabase(t, template)), "NATS_URL=" + localstack.TestNATS(t).URL(), "REDIS_URL=" + localstack.TestRedis(t).URL(),
		"PAYAID_ADMIN_KEY=" + adminKey, "DB_POOL_SIZE=4", "DB_POOL_OVERFLOW=2", "OLLAMA_URL=http://127.0.0.1:1",
		"TRUSTED_PROXIES=127.0.0.1",
	}}
}

// A process is one of the product's.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	out    lockedBuffer
}

// lockedBuffer is written by a process while the test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run starts a command of the product, which ends with the test. Later settings win.
func (p product) run(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &process{cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	r.cmd.Env = append(append([]string{}, p.env...), env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.WaitDelay = 5 * time.Second
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			_ = r.cmd.Wait()
			close(r.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("payaid %v said:\n%s", args, r.out.String())
		}
	})
	return r
}

// kill ends the process at once.
func (r *process) kill() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.exited
}

// api starts a process of the API at an address, and waits until it answers.
func (p product) api(t *testing.T, address string, env ...string) *process {
	t.Helper()
	r := p.run(t, append([]string{"LISTEN=" + address}, env...), "api")
	eventually(t, func() error {
		select {
		case <-r.exited:
			t.Fatalf("the API has ended:\n%s", r.out.String())
		default:
		}
		answer, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", answer.Status)
		}
		return nil
	})
	return r
}

// eventually asks again and again until the answer is nil.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}
