// Package machine says how much memory, processor time and disk a process has, and how much of it is used: of its
// container where there are limits, as the host's figures are not its own there, and else of the host. It reads
// control groups of version 1 and 2 where the kernel shows them.
package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Source says whose figures they are.
type Source string

// The sources.
const (
	CgroupV1 Source = "cgroup_v1"
	CgroupV2 Source = "cgroup_v2"
	Host     Source = "host" // nothing limits the process
)

// Memory is what the process may use together with those that share its limit.
type Memory struct {
	Source Source `json:"source"`
	Limit  int64  `json:"limit"` // bytes; of the host: all that it has
	// Used is what can't be had back without harm: without the pages of files that nobody has looked at lately. The
	// kernel ends a process when this meets the limit.
	Used    int64   `json:"used"`
	Percent float64 `json:"percent"`
}

// A Disk is the volume that a folder is on.
type Disk struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Total   int64    `json:"total"`   // bytes
	Free    int64    `json:"free"`    // that the process may still fill
	Percent *float64 `json:"percent"` // used, as df counts it; nil: it can't be read, and Reason says why
	Reason  string   `json:"reason,omitempty"`
}

// A Volume is a folder whose disk matters, by its name.
type Volume struct{ Name, Path string }

// Figures are all that can be said at a moment. What can't be had is nil and has its reason in Unmeasured.
type Figures struct {
	Memory     *Memory           `json:"memory"`
	CPU        *CPU              `json:"cpu"`
	Resident   int64             `json:"resident"` // bytes of memory of this process alone; 0: not known
	Disks      []Disk            `json:"disks"`
	Unmeasured map[string]string `json:"unmeasured,omitempty"` // reason by figure: memory, cpu
}

// A Machine is what a process runs on. It is safe for concurrent use.
type Machine struct {
	root    string // of the file system; "/" but in tests
	process string // below /proc: "self", or an id
	volumes []Volume

	mu      sync.Mutex
	samples []sample // of the processor, oldest first
	looks   map[Volume]*look
	statfs  func(path string) (syscall.Statfs_t, error)
}

// New looks at the machine of this process, and at the volumes that matter.
func New(volumes []Volume) *Machine {
	m := &Machine{root: "/", process: "self", volumes: volumes, looks: make(map[Volume]*look), statfs: statfs}
	// Later looks are measured against this one. What goes wrong goes wrong again then, and is said.
	_, _ = m.observe(time.Now())
	return m
}

// Figures looks at everything. It takes no longer than a second, also where a disk hangs.
func (m *Machine) Figures() Figures {
	f := Figures{Resident: m.resident(), Disks: m.disks()}
	note := func(figure string, err error) {
		if f.Unmeasured == nil {
			f.Unmeasured = make(map[string]string)
		}
		f.Unmeasured[figure] = err.Error()
	}
	memory, err := m.memory()
	if err != nil {
		note("memory", err)
	} else {
		f.Memory = &memory
	}
	cpu, err := m.cpu(time.Now())
	if err != nil {
		note("cpu", err)
	} else {
		f.CPU = &cpu
	}
	return f
}

func (m *Machine) memory() (Memory, error) {
	total, available, err := m.meminfo()
	if err != nil {
		return Memory{}, err
	}
	out := Memory{Source: Host, Limit: total, Used: total - available}
	// Each group above may have a limit as well, which all below share: the tightest is the one that counts.
	for _, g := range m.groups("memory") {
		limit, used, err := g.memory()
		if err == nil && limit < out.Limit {
			out = Memory{Source: g.source, Limit: limit, Used: used}
		}
	}
	if out.Limit <= 0 {
		return out, errors.New("the kernel says that there is no memory")
	}
	out.Percent = percent(float64(out.Used), float64(out.Limit))
	return out, nil
}

// memory gives the limit of a group and what all in it use.
func (g group) memory() (limit, used int64, err error) {
	limitFile, usedFile, inactive := "memory.max", "memory.current", "inactive_file"
	if g.source == CgroupV1 {
		limitFile, usedFile, inactive = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
	}
	if limit, err = g.number(limitFile); err != nil {
		return 0, 0, err
	}
	if used, err = g.number(usedFile); err != nil {
		return 0, 0, err
	}
	stat, err := g.table("memory.stat")
	if err != nil {
		return 0, 0, err
	}
	return limit, max(0, used-stat[inactive]), nil
}

func (m *Machine) meminfo() (total, available int64, err error) {
	data, err := m.read("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	kilobytes := func(name string) int64 {
		for line := range strings.Lines(data) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				return n << 10
			}
		}
		return 0
	}
	total, available = kilobytes("MemTotal"), kilobytes("MemAvailable")
	if total == 0 {
		return 0, 0, errors.New("/proc/meminfo does not say how much memory there is")
	}
	return total, available, nil
}

// resident is what this process has in memory.
func (m *Machine) resident() int64 {
	data, err := m.read("/proc/" + m.process + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func (m *Machine) read(path string) (string, error) {
	data, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		return "", fmt.Errorf("look at the machine: %w", err)
	}
	return string(data), nil
}

// percent is rounded to a tenth, so that figures can be read.
func percent(part, of float64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(int64(max(0, part)/of*1000+0.5)) / 10
}

func (m *Machine) disks() []Disk {
	list := make([]Disk, len(m.volumes))
	var looking sync.WaitGroup
	for i, v := range m.volumes {
		looking.Go(func() { list[i] = m.disk(v) })
	}
	looking.Wait()
	slices.SortStableFunc(list, func(a, b Disk) int { return strings.Compare(a.Name, b.Name) })
	return list
}
