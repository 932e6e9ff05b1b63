package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// tree unpacks what a machine looked like.
func tree(t *testing.T, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range archive.Files {
		put(t, filepath.Join(root, f.Name), string(f.Data))
	}
	return root
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// at is a machine as a tree shows it.
func at(root, process string) *Machine {
	return &Machine{root: root, process: process, looks: make(map[Volume]*look), statfs: statfs}
}

// What the kernel shows in containers of both versions, nested and without limits.
func TestRecordedMachines(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, c := range []struct {
		tree   string
		memory Memory
		cpu    CPU
		// What the kernel has counted ten seconds later, by file.
		later   map[string]string
		percent float64
		held    float64
	}{
		{"v2_docker", Memory{CgroupV2, 256 * mb, 128 * mb, 50}, CPU{Source: CgroupV2, Cores: 0.5},
			map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec 14000000\nnr_periods 200\nnr_throttled 35\n"}, 80, 25},
		{"v1_docker", Memory{CgroupV1, 256 * mb, 128 * mb, 50}, CPU{Source: CgroupV1, Cores: 0.5},
			map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "14000000000\n",
				"sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 200\nnr_throttled 35\n"}, 80, 25},
		{"v2_nested", Memory{CgroupV2, 1024 * mb, 768 * mb, 75}, CPU{Source: CgroupV2, Cores: 1.5},
			map[string]string{"sys/fs/cgroup/payaid.slice/cpu.stat": "usage_usec 33000000\nnr_periods 300\nnr_throttled 0\n"}, 20, 0},
		{"v1_nested", Memory{CgroupV1, 512 * mb, 128 * mb, 25}, CPU{Source: CgroupV1, Cores: 1.5},
			map[string]string{"sys/fs/cgroup/cpuacct/batch/cpuacct.usage": "33000000000\n"}, 20, 0},
		{"v2_unlimited", Memory{Host, 24689152 << 10, (24689152 - 16459435) << 10, 33.3}, CPU{Source: Host, Cores: 2},
			map[string]string{"proc/stat": "cpu  4300 0 1200 91400 5100 0 0 0 0 0\ncpu0 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n"}, 25, -1},
		{"host", Memory{Host, 24689152 << 10, (24689152 - 16459435) << 10, 33.3}, CPU{Source: Host, Cores: 2},
			map[string]string{"proc/stat": "cpu  5000 0 1000 90000 5000 0 0 1000 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n"}, 100, -1},
	} {
		t.Run(c.tree, func(t *testing.T) {
			t.Parallel()
			root := tree(t, c.tree)
			m := at(root, "self")
			memory, err := m.memory()
			if err != nil || memory != c.memory {
				t.Errorf("memory: got %+v, %v, want %+v", memory, err, c.memory)
			}
			now := time.Now()
			cpu, err := m.cpu(now)
			if err != nil || cpu != c.cpu {
				t.Errorf("at first: got %+v, %v, want %+v", cpu, err, c.cpu)
			}
			for name, content := range c.later {
				put(t, filepath.Join(root, name), content)
			}
			cpu, err = m.cpu(now.Add(10 * time.Second))
			if err != nil || cpu.Percent == nil || *cpu.Percent != c.percent {
				t.Fatalf("ten seconds later: got %s, %v, want %g per cent", show(cpu), err, c.percent)
			}
			if c.held < 0 && cpu.Throttled != nil || c.held >= 0 && (cpu.Throttled == nil || *cpu.Throttled != c.held) {
				t.Errorf("got %s, want %g per cent of periods throttled", show(cpu), c.held)
			}
			if got := m.resident(); got != 2048*int64(os.Getpagesize()) {
				t.Errorf("resident: got %d", got)
			}
		})
	}
}

func show(c CPU) string {
	value := func(f *float64) string {
		if f == nil {
			return "null"
		}
		return fmt.Sprint(*f)
	}
	return fmt.Sprintf("%s of %g, throttled %s (%s)", value(c.Percent), c.Cores, value(c.Throttled), c.Source)
}

// The window is a minute; another limit begins it anew.
func TestProcessorWindow(t *testing.T) {
	t.Parallel()
	root := tree(t, "v2_docker")
	m := at(root, "self")
	begin := time.Now()
	used := func(after time.Duration, usec int, limit string) *float64 {
		t.Helper()
		put(t, filepath.Join(root, "sys/fs/cgroup/cpu.stat"), fmt.Sprintf("usage_usec %d\nnr_periods 0\nnr_throttled 0\n", usec))
		put(t, filepath.Join(root, "sys/fs/cgroup/cpu.max"), limit)
		c, err := m.cpu(begin.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return c.Percent
	}
	want := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || *got != want {
			t.Errorf("%s: got %v, want %g", what, got, want)
		}
	}
	const half, whole = "50000 100000", "100000 100000"
	if got := used(0, 0, half); got != nil {
		t.Errorf("before there is anything to compare with: got %g", *got)
	}
	want("a busy half minute", used(30*time.Second, 15e6, half), 100)
	want("with an idle one", used(60*time.Second, 15e6, half), 50)
	want("two idle ones", used(90*time.Second, 15e6, half), 0)
	if got := used(100*time.Second, 16e6, whole); got != nil {
		t.Errorf("after the limit was changed: got %g", *got)
	}
	want("under the new limit", used(110*time.Second, 18e6, whole), 20)
	if len(m.samples) > 61 {
		t.Errorf("%d samples are kept", len(m.samples))
	}
}

// Whatever a kernel shows, nothing breaks, and what can't be had has a reason.
func TestBrokenMachines(t *testing.T) {
	t.Parallel()
	empty := at(t.TempDir(), "self").Figures()
	if empty.Memory != nil || empty.CPU != nil || empty.Unmeasured["memory"] == "" || empty.Unmeasured["cpu"] == "" {
		t.Errorf("nothing there: got %+v", empty)
	}
	for _, broken := range []map[string]string{
		{"sys/fs/cgroup/memory.max": "", "sys/fs/cgroup/cpu.max": ""},
		{"sys/fs/cgroup/memory.max": "many", "sys/fs/cgroup/cpu.max": "0 0"},
		{"sys/fs/cgroup/memory.current": "x", "sys/fs/cgroup/cpu.max": "50000"},
		{"proc/self/cgroup": "x\n::\n0::\n", "proc/self/mountinfo": "a b - c\n - \n1 2 3 4 5 - cgroup2\n"},
		{"proc/self/cgroup": ""},
	} {
		root := tree(t, "v2_docker")
		for name, content := range broken {
			put(t, filepath.Join(root, name), content)
		}
		f := at(root, "self").Figures()
		if f.Memory == nil || f.Memory.Source != Host || f.CPU == nil || f.CPU.Source != Host {
			t.Errorf("%v: got memory %+v, cpu %+v, want the host's", broken, f.Memory, f.CPU)
		}
	}
}

// This machine, whatever it is, has memory and processors, and its folders have disks.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	m := New([]Volume{{"tests", t.TempDir()}, {"nowhere", filepath.Join(t.TempDir(), "gone")}})
	f := m.Figures()
	if f.Memory == nil || f.Memory.Percent <= 0 || f.Memory.Percent > 100 || f.CPU == nil || f.CPU.Cores <= 0 || f.Resident < 1<<20 {
		t.Errorf("got memory %+v, cpu %+v, resident %d, %v", f.Memory, f.CPU, f.Resident, f.Unmeasured)
	}
	if d := f.Disks[1]; d.Name != "tests" || d.Percent == nil || *d.Percent <= 0 || *d.Percent > 100 || d.Total < d.Free || d.Reason != "" {
		t.Errorf("got disk %+v", d)
	}
	// What is not there has no figures: those of the disk above would be another's.
	if d := f.Disks[0]; d.Percent != nil || !strings.Contains(d.Reason, "no such file") {
		t.Errorf("got disk %+v", d)
	}
}

// A disk that hangs costs a second, and one call that hangs however often it is asked for.
func TestADiskHangs(t *testing.T) {
	t.Parallel()
	m := New([]Volume{{"backups", "/hangs"}, {"data", t.TempDir()}})
	release := make(chan struct{})
	calls := make(chan string, 10)
	m.statfs = func(path string) (syscall.Statfs_t, error) {
		if path != "/hangs" {
			return statfs(path)
		}
		calls <- path
		<-release
		return syscall.Statfs_t{}, errors.New("stale")
	}
	for range 2 {
		began := time.Now()
		f := m.Figures()
		if took := time.Since(began); took > 10*diskTimeout {
			t.Errorf("it took %s", took)
		}
		if f.Disks[0].Percent != nil || f.Disks[0].Reason != "the disk does not answer" || f.Disks[1].Percent == nil {
			t.Errorf("got %+v", f.Disks)
		}
	}
	if len(calls) != 1 {
		t.Errorf("%d calls hang, want 1", len(calls))
	}
	close(release)
}
