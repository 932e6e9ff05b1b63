package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A process is one process of the product. It may be killed and started again; the kernel kills it when
// the test dies, however the test dies.
type process struct {
	name   string
	args   []string
	env    []string
	binary string // "": this program
	log    *journal

	mu   sync.Mutex
	life *life
	born int // mark in the log of the present life

	hold   sync.Mutex   // held by whoever keeps it down
	deaths atomic.Int32 // without having been asked to
}

// life is one life of a process.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// newProcess makes a process that is not started yet, and ends it with the test.
func newProcess(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{name: name, args: args, env: env, log: newJournal()}
	t.Cleanup(func() {
		p.kill()
		p.audit(t)
	})
	return p
}

// audit fails the test for what no process may ever say, and shows the log of one whose test failed.
func (p *process) audit(t *testing.T) {
	for _, text := range []string{"DATA RACE", "panic:", "goroutine 1 ["} {
		if p.log.count(0, text) > 0 {
			t.Errorf("%s says %q", p.name, text)
		}
	}
	lines := p.log.since(0)
	if *logsFlag != "" {
		path := filepath.Join(*logsFlag, strings.ReplaceAll(t.Name(), "/", "-")+"."+p.name+".log")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.Logf("the last words of %s:\n%s", p.name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// start gives the process a new life.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	binary := p.binary
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return err
		}
	}
	cmd := exec.Command(binary, p.args...)
	// The race detector would wait for a second at each end.
	cmd.Env = append([]string{asProcess + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, p.env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = 5 * time.Second // children that hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	l := &life{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(l.exited)
		}
	}()
	p.born = p.log.length()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.life = l
	return nil
}

// current is the present life and its mark in the log.
func (p *process) current() (*life, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life, p.born
}

// kill sends SIGKILL to the process and what it started, and waits for its end.
func (p *process) kill() {
	l, _ := p.current()
	if l == nil {
		return
	}
	_ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
	<-l.exited
}

// killAll sends SIGKILL to the process and to everything below it in the same moment: what leads a
// group of its own, as Postgres does, isn't spared.
func (p *process) killAll() {
	l, _ := p.current()
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, _ := os.ReadFile(path)
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for pid := range parents {
		for above := parents[pid]; above > 1; above = parents[above] {
			if above == l.cmd.Process.Pid {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	p.kill()
}

// alive reports whether the present life goes on.
func (p *process) alive() bool {
	l, _ := p.current()
	if l == nil {
		return false
	}
	select {
	case <-l.exited:
		return false
	default:
		return true
	}
}

// terminate asks the process to end, and gives its status and how long it took.
func (p *process) terminate(ctx context.Context) (status int, took time.Duration, err error) {
	l, _ := p.current()
	began := time.Now()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, fmt.Errorf("end %s: %w", p.name, err)
	}
	select {
	case <-l.exited:
		return l.cmd.ProcessState.ExitCode(), time.Since(began), nil
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("%s does not end on SIGTERM: %w", p.name, ctx.Err())
	}
}

// says waits for a line of the present life.
func (p *process) says(ctx context.Context, texts ...string) (string, error) {
	_, mark := p.current()
	line, err := p.log.wait(ctx, mark, texts...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.name, err)
	}
	return line, nil
}

// Between its own end and its next life a process manager waits, so that one that dies at once is not
// started a thousand times.
const restartPause = 200 * time.Millisecond

// keep restarts the process when it ends by itself, as a process manager would, until ctx ends. Whoever
// kills it on purpose holds it meanwhile.
func (p *process) keep(ctx context.Context) {
	for {
		l, _ := p.current()
		select {
		case <-ctx.Done():
			return
		case <-l.exited:
		}
		if pause(ctx, restartPause) != nil {
			return
		}
		p.hold.Lock()
		if again, _ := p.current(); again == l && ctx.Err() == nil {
			p.deaths.Add(1)
			_ = p.start()
		}
		p.hold.Unlock()
	}
}

// strike kills the process, leaves it dead for a while, and starts it again.
func (p *process) strike(ctx context.Context, dead time.Duration) error {
	p.hold.Lock()
	defer p.hold.Unlock()
	p.kill()
	if err := pause(ctx, dead); err != nil {
		return err
	}
	return p.start()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
