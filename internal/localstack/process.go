package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// The first restart is immediate for a person and long enough for the kernel
	// to take the dead process's socket and shared memory down.
	firstRestartDelay = 50 * time.Millisecond
	maxRestartDelay   = 5 * time.Second
	// A child that lived this long starts its backoff anew when it dies.
	settledAfter = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// childEnv is all that a child sees of the environment: secrets of the parent
// and variables such as PGDATA stay out.
var childEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C.UTF-8",
	"TZ=UTC",
}

// processOptions says what a Process runs, when it is ready and how it is asked
// to stop.
type processOptions struct {
	name       string
	path       string
	args       []string
	env        []string // added to childEnv
	stdin      string   // fed anew at each start
	credential *syscall.Credential
	stopSignal syscall.Signal
	// ready is nil as soon as the service answers. It must be quick to say no.
	ready func(context.Context) error
	dir   *workdir // closed when the process has been stopped
	log   *slog.Logger
}

// A Process is a supervised child: when it ends without having been asked to, it
// is started again with the same arguments, and so on the same port and data.
// It runs in a process group of its own, and the kernel stops it when the parent
// dies, however the parent dies.
type Process struct {
	o    processOptions
	stop chan struct{}
	done chan struct{} // closed when the supervisor has returned

	mu       sync.Mutex
	stopping bool
	child    *child
}

// child is one life of a Process.
type child struct {
	pid    int
	proc   *os.Process
	since  time.Time
	exited chan struct{} // closed after err is set
	err    error
}

// startProcess returns when the child is ready, or with its last log lines when
// it ended instead. It takes over o.dir: on an error that is closed.
func startProcess(ctx context.Context, o processOptions) (*Process, error) {
	p := &Process{o: o, stop: make(chan struct{}), done: make(chan struct{})}
	c, err := p.spawn()
	if err != nil {
		o.dir.close()
		return nil, fmt.Errorf("start %s: %w", o.name, err)
	}
	err = poll(ctx, func(ctx context.Context) error {
		select {
		case <-c.exited:
			return final{fmt.Errorf("it ended: %w; its last words:\n%s", c.err, p.lastWords())}
		default:
			return o.ready(ctx)
		}
	})
	go p.supervise(c)
	if err != nil {
		now, cancel := context.WithCancel(ctx)
		cancel()
		p.Stop(now)
		return nil, fmt.Errorf("start %s: %w", o.name, err)
	}
	o.log.Debug("service started", "service", o.name, "pid", c.pid, "ms", time.Since(c.since).Milliseconds())
	return p, nil
}

// Pid is the running child's, or 0 while there is none.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return p.child.pid
}

// WaitReady waits until the service answers, as after Kill.
func (p *Process) WaitReady(ctx context.Context) error {
	if err := poll(ctx, p.o.ready); err != nil {
		return fmt.Errorf("wait for %s: %w", p.o.name, err)
	}
	return nil
}

// Kill sends SIGKILL to the child and to all that it started, and returns when
// the child is gone. It is for tests of a crash: the supervisor starts it again.
func (p *Process) Kill() {
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c != nil {
		p.kill(c)
	}
}

// halt kills the child as Kill does, and ends its supervisor with it: nothing starts it again.
func (p *Process) halt() {
	p.mu.Lock()
	if !p.stopping {
		p.stopping = true
		close(p.stop)
	}
	c := p.child
	p.mu.Unlock()
	if c != nil {
		p.kill(c)
	}
	<-p.done
	p.o.dir.close()
}

func (p *Process) kill(c *child) {
	below := descendants(c.pid)
	// The child first: it should not see its own children die.
	c.proc.Kill()
	syscall.Kill(-c.pid, syscall.SIGKILL)
	for _, pid := range below {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	<-c.exited
}

// Stop asks the child to end and waits for it. When ctx ends first the child is
// killed and Stop says so; either way nothing runs when it returns. A second call
// does nothing.
func (p *Process) Stop(ctx context.Context) error {
	p.mu.Lock()
	if !p.stopping {
		p.stopping = true
		close(p.stop)
		if p.child != nil {
			p.child.proc.Signal(p.o.stopSignal)
		}
	}
	c := p.child
	p.mu.Unlock()
	defer p.o.dir.close()

	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if c != nil {
		p.kill(c)
	}
	<-p.done
	return fmt.Errorf("stop %s: killed, because it had not ended in time: %w", p.o.name, ctx.Err())
}

// supervise keeps a child running until Stop.
func (p *Process) supervise(c *child) {
	defer close(p.done)
	delay := firstRestartDelay
	logs := time.NewTicker(time.Minute)
	defer logs.Stop()
	for c != nil {
		select {
		case <-p.stop:
			<-c.exited
			return
		case <-logs.C:
			if err := p.o.dir.boundLog(p.o.name); err != nil {
				p.o.log.Warn("log of a service grows on", "service", p.o.name, "cause", err)
			}
			continue
		case <-c.exited:
		}
		if p.stopped() {
			return
		}
		p.o.log.Warn("service ended, starting it again", "service", p.o.name, "pid", c.pid,
			"cause", c.err, "log", p.lastWords())
		if time.Since(c.since) > settledAfter {
			delay = firstRestartDelay
		}
		c, delay = p.respawn(delay)
	}
}

// respawn tries until a child runs; it is nil when Stop came first. The delay
// that it returns is the one before the next restart.
func (p *Process) respawn(delay time.Duration) (*child, time.Duration) {
	for {
		select {
		case <-p.stop:
			return nil, delay
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestartDelay)
		c, err := p.spawn()
		if err == nil {
			return c, delay
		}
		if !p.stopped() {
			p.o.log.Warn("service did not start, trying again", "service", p.o.name, "cause", err)
		}
	}
}

func (p *Process) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

var errStopping = errors.New("it is being stopped")

// spawn starts one child. The kernel sends the parent-death signal when the
// thread that forked ends, so that thread is kept until the child has ended.
func (p *Process) spawn() (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, errStopping
	}
	out, err := p.o.dir.openLog(p.o.name)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.o.path, p.o.args...)
	cmd.Env = append(append([]string{}, childEnv...), p.o.env...)
	cmd.Dir = "/"
	if p.o.stdin != "" {
		cmd.Stdin = strings.NewReader(p.o.stdin)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttr(p.o.stopSignal, p.o.credential)

	c := &child{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.wait(c, cmd)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.pid, c.proc, c.since = cmd.Process.Pid, cmd.Process, time.Now()
	p.child = c
	return c, nil
}

func (p *Process) wait(c *child, cmd *exec.Cmd) {
	err := cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	// What it started and left behind would hold its port or its memory.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	p.mu.Lock()
	if p.child == c {
		p.child = nil
	}
	p.mu.Unlock()
	c.err = err
	close(c.exited)
}

func (p *Process) lastWords() string { return p.o.dir.logTail(p.o.name, 5) }

// final is an error that no further polling mends.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// poll asks until the answer is nil, final, or ctx ends.
func poll(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if stop := (final{}); err == nil || errors.As(err, &stop) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, the last answer being: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
