package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A program is one of Postgres' own, at work. It ends with its context, and with this process, however that ends.
type program struct {
	name   string
	cmd    *exec.Cmd
	out    io.ReadCloser // its output; nil where the caller gave a writer
	errors tail
	done   chan struct{}
	err    error // after done
}

// programIO is what a program reads and writes; nil is nothing. With Out nil its output is read from the program.
type programIO struct {
	In  io.Reader
	Out io.Writer
	// Files are open files that it finds as firstFile and those after it.
	Files []*os.File
}

// firstFile is the name that a program has for the first of the files that it is given.
const firstFile = "/dev/fd/5"

// startProgram runs a program of c on the login's database.
func startProgram(ctx context.Context, c client, l *login, name string, streams programIO, args ...string) (*program, error) {
	p := &program{name: name, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, c.path(name), args...)
	home, _ := os.UserHomeDir() // of certificates; there may be none
	// Nothing of our own environment, which holds the keys of everything.
	p.cmd.Env = []string{"PATH=" + c.dir + ":/usr/bin:/bin", "HOME=" + home, "LC_ALL=C", "PGSERVICEFILE=" + serviceFile,
		"PGSERVICE=payaid", "PGPASSFILE=" + passwordFile, "PGAPPNAME=payaid-backup/" + name}
	p.cmd.ExtraFiles = append([]*os.File{l.service, l.password}, streams.Files...)
	p.cmd.Dir = "/"
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = streams.In, streams.Out, &p.errors
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = 10 * time.Second
	if streams.Out == nil {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		defer w.Close() // the program has its own
		p.out, p.cmd.Stdout = r, w
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		if p.out != nil {
			_ = p.out.Close()
		}
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// run keeps its thread: the kernel tells the program of its parent's death when the thread ends that started it.
func (p *program) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what it started and left behind
	close(p.done)
}

// wait is nil when the program ended well and complained of nothing. It may be called again.
func (p *program) wait() error {
	<-p.done
	said := p.errors.text()
	if p.err == nil && !complains(said) {
		return nil
	}
	if p.err == nil {
		return fmt.Errorf("%s ended with status 0, and says: %s", p.name, said)
	}
	if said == "" {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return fmt.Errorf("%s: %w, and says: %s", p.name, p.err, said)
}

// warnings are what it said besides, when it ended well.
func (p *program) warnings() string { return p.errors.text() }

// stop ends it at once, and returns when it has ended.
func (p *program) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended already
	<-p.done
	if p.out != nil {
		_ = p.out.Close()
	}
}

// complains looks for an error among a program's words, which are English by LC_ALL.
func complains(said string) bool {
	for _, sign := range []string{"error:", "ERROR:", "FATAL:", "PANIC:", "fatal:"} {
		if strings.Contains(said, sign) {
			return true
		}
	}
	return false
}

// signaled reports whether somebody killed the program.
func (p *program) signaled() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// tail keeps the first and the last of what is written to it.
type tail struct {
	mu         sync.Mutex
	head, rest []byte
	cut        bool
}

const tailSize = 2 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if room := tailSize - len(t.head); room > 0 {
		take := min(room, len(p))
		t.head, p = append(t.head, p[:take]...), p[take:]
	}
	t.rest = append(t.rest, p...)
	if over := len(t.rest) - tailSize; over > 0 {
		t.rest, t.cut = t.rest[over:], true
	}
	return n, nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := bytes.Clone(t.head)
	if t.cut {
		all = append(all, " … "...)
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(append(all, t.rest...)), "?")), " ")
}
