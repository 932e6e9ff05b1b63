package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A process in a real group, with a limit that this test makes: the figures are of the group, not of the host.
func TestARealGroup(t *testing.T) {
	t.Parallel()
	memory, cpu := newGroup(t, "memory"), newGroup(t, "cpu")
	const limit = 64 << 20
	memory.set(t, map[string]string{"memory.limit_in_bytes": fmt.Sprint(limit), "memory.max": fmt.Sprint(limit)})
	cpu.set(t, map[string]string{"cpu.cfs_quota_us": "50000", "cpu.max": "50000 100000"})
	child := exec.CommandContext(t.Context(), "sh", "-c", "read go; while :; do :; done")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	pid := strconv.Itoa(child.Process.Pid)
	groups := []realGroup{memory, cpu}
	if cpu.source == CgroupV1 {
		groups = append(groups, newGroup(t, "cpuacct"))
	}
	for _, g := range groups {
		g.set(t, map[string]string{"cgroup.procs": pid})
	}
	if _, err := fmt.Fprintln(stdin, "go"); err != nil {
		t.Fatal(err)
	}
	m := at("/", pid)
	begin := time.Now()
	if _, err := m.observe(begin); err != nil {
		t.Fatal(err)
	}
	got, err := m.memory()
	if err != nil || got.Source != memory.source || got.Limit != limit || got.Used > limit {
		t.Errorf("memory: got %+v, %v, want a limit of %d of %s", got, err, limit, memory.source)
	}
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for range pause.C {
		c, err := m.cpu(time.Now())
		if err != nil || c.Source != cpu.source || c.Cores != 0.5 {
			t.Fatalf("processor: got %s, %v, want half a core of %s", show(c), err, cpu.source)
		}
		// It would use a whole one, and may have half; how much it gets is up to everybody else here.
		if c.Percent != nil && *c.Percent > 0 {
			if *c.Percent > 150 {
				t.Errorf("got %s", show(c))
			}
			t.Logf("%+v, %s", got, show(c))
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("after half a minute: got %s", show(c))
		}
	}
}

type realGroup struct {
	source Source
	dir    string
}

// newGroup makes a control group below this process's. Where the machine lets nobody do that, there is nothing to
// test.
func newGroup(t *testing.T, controller string) realGroup {
	t.Helper()
	mine := at("/", "self").groups(controller)
	if len(mine) == 0 {
		t.Skipf("no control groups of %s are shown here", controller)
	}
	dir := filepath.Join(mine[len(mine)-1].dir, fmt.Sprintf("payaid-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		// It is empty once the kernel has taken the child away.
		for deadline := time.Now().Add(10 * time.Second); ; {
			if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("the control group %s stays", dir)
				return
			}
		}
	})
	g := realGroup{mine[0].source, dir}
	if g.source == CgroupV2 {
		if have, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); !strings.Contains(string(have), controller) {
			t.Skipf("%s is not given to groups below here", controller)
		}
	}
	return g
}

// set writes the files that there are; those of the other version are not.
func (g realGroup) set(t *testing.T, files map[string]string) {
	t.Helper()
	for name, value := range files {
		path := filepath.Join(g.dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			t.Skipf("nothing can be limited here: %v", err)
		}
	}
}
