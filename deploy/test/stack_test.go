//go:build deploytest

package deploytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A stack is a copy of the deploy folder with what init.sh made in it, and the engine that runs it.
type stack struct {
	dir string // the copy
}

// run runs a command in the copy and gives what it printed.
func (s *stack) run(ctx context.Context, name string, args ...string) (string, error) {
	var out, diagnosis bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &diagnosis
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(diagnosis.String(), 4000))
	}
	return out.String(), nil
}

func tail(text string, most int) string {
	return strings.TrimSpace(text[max(0, len(text)-most):])
}

// docker runs a command of the engine's client.
func (s *stack) docker(ctx context.Context, args ...string) (string, error) {
	return s.run(ctx, "docker", args...)
}

// call runs a command of Compose on the file as it is shipped.
func (s *stack) call(ctx context.Context, args ...string) (string, error) {
	return s.docker(ctx, append([]string{"compose"}, args...)...)
}

// set writes variables into .env, as owners do.
func (s *stack) set(pairs ...string) error {
	path := filepath.Join(s.dir, ".env")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+"=") })
	}
	return os.WriteFile(path, []byte(strings.Join(append(lines, pairs...), "\n")+"\n"), 0o600)
}

// A container as the engine describes it, as far as it is looked at.
type container struct {
	ID     string `json:"Id"`
	Name   string
	Image  string
	Config struct {
		Labels map[string]string
		Image  string
	}
	RestartCount int
	State        struct {
		Status    string
		Pid       int
		ExitCode  int
		OOMKilled bool
		StartedAt time.Time
		Health    *struct{ Status string }
	}
	NetworkSettings struct {
		Ports    map[string][]struct{ HostIP, HostPort string }
		Networks map[string]struct{ IPAddress, Gateway string }
	}
}

func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

// healthy is what its health check says, or that it runs where it has none.
func (c container) healthy() bool {
	return c.State.Status == "running" && (c.State.Health == nil || c.State.Health.Status == "healthy")
}

// address is the container's own on any of its networks: the engine's host reaches them all.
func (c container) address() string {
	for _, n := range c.NetworkSettings.Networks {
		if n.IPAddress != "" {
			return n.IPAddress
		}
	}
	return ""
}

// containers are those of some services, of all without a name, those that have ended among them.
func (s *stack) containers(ctx context.Context, services ...string) ([]container, error) {
	out, err := s.call(ctx, append([]string{"ps", "--all", "--quiet"}, services...)...)
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(out)
	if len(ids) == 0 {
		return nil, nil
	}
	return s.inspect(ctx, ids...)
}

func (s *stack) inspect(ctx context.Context, ids ...string) ([]container, error) {
	out, err := s.docker(ctx, append([]string{"inspect"}, ids...)...)
	if err != nil {
		return nil, err
	}
	var list []container
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("read the description of containers: %w", err)
	}
	return list, nil
}

// one is the only container of a service.
func (s *stack) one(ctx context.Context, service string) (container, error) {
	list, err := s.containers(ctx, service)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("service %s has %d containers, want 1", service, len(list))
	}
	if err != nil {
		return container{}, err
	}
	return list[0], nil
}

// kill kills a container's first process from outside. `docker kill` counts as an order to stop, after which the
// restart policy leaves a container alone; a process that dies is what it is for.
func (s *stack) kill(ctx context.Context, service string) (container, error) {
	c, err := s.one(ctx, service)
	if err != nil {
		return c, err
	}
	if c.State.Pid <= 1 {
		return c, fmt.Errorf("kill %s: it doesn't run", service)
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(c.State.Pid) + "/cgroup")
	if err != nil || !bytes.Contains(name, []byte(c.ID)) {
		return c, fmt.Errorf("kill %s: process %d is none of container %s", service, c.State.Pid, c.ID)
	}
	return c, syscall.Kill(c.State.Pid, syscall.SIGKILL)
}

// back waits until a container that was killed has been started again and is well.
func (s *stack) back(ctx context.Context, before container) error {
	return eventually(ctx, func(ctx context.Context) error {
		list, err := s.inspect(ctx, before.ID)
		if err != nil {
			return err
		}
		if c := list[0]; !c.State.StartedAt.After(before.State.StartedAt) || !c.healthy() {
			return fmt.Errorf("%s is %+v", c.Name, c.State)
		}
		return nil
	})
}

// eventually asks until the answer is nil, or the last one when the time is over.
func eventually(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
