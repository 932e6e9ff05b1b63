package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/telemetry"
)

// benchPartCmd runs one process of a measurement that looks at each by itself. It is no command for people.
type benchPartCmd struct {
	API    apiCmd       `cmd:"" name:"api"`
	Relay  relayCmd     `cmd:""`
	Worker workerCmd    `cmd:""`
	NATS   benchNATSCmd `cmd:"" name:"nats"`
}

// AfterApply adds the kind of job that is measured.
func (*benchPartCmd) AfterApply(a *app) error {
	WithNoop()(a)
	return nil
}

// benchNATSCmd is a NATS server by itself, so that its cost is seen by itself.
type benchNATSCmd struct {
	Dir string `arg:""`
	logSettings
}

// Run prints the server's address, and serves until it is told to stop.
func (c *benchNATSCmd) Run(ctx context.Context, a *app) error {
	p := a.problems()
	level, format := c.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	server, err := localstack.StartNATS(ctx, localstack.NATSOptions{Dir: c.Dir, Log: telemetry.NewLog(a.stderr, format, level)})
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, server.URL())
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return server.Stop(stopping)
}

// A part is one process of the product, or of a server, that is measured by itself.
type part struct {
	name string
	pid  int
	stop func() error // nil where somebody else ends it
}

// startPart runs this program again as one of its processes. What it prints first is given to heard, if that is there.
func (b *bench) startPart(ctx context.Context, name string, env []string, heard func(string), args ...string) (part, error) {
	program, err := os.Executable()
	if err != nil {
		return part{}, err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"bench-part", name}, args...)...)
	cmd.Env = append(env, "LOG_LEVEL=warn", "PATH="+os.Getenv("PATH"), "HOME="+b.dir)
	cmd.Stderr = b.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	said, err := cmd.StdoutPipe()
	if err != nil {
		return part{}, err
	}
	if err := cmd.Start(); err != nil {
		return part{}, fmt.Errorf("start %s: %w", name, err)
	}
	p := part{name: name, pid: cmd.Process.Pid, stop: func() error {
		_ = cmd.Cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("end %s: %w", name, err)
		}
		return nil
	}}
	if heard == nil {
		return p, nil
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return part{}, errors.Join(fmt.Errorf("start %s: it said nothing: %w", name, err), p.stop())
	}
	heard(strings.TrimSpace(line))
	return p, nil
}

// spent is the processor time of the process, and of those that it is the parent of, as Postgres is of its sessions.
func (p part) spent() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		total += processTime(string(data), p.pid)
	}
	return total, nil
}

// peak is the most memory that the process had, in bytes; 0 where that isn't known.
func (p part) peak() int64 {
	field := fromProc(fmt.Sprintf("/proc/%d/status", p.pid), "VmHWM")
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(field, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
