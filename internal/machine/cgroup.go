package machine

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A group is a control group that the process is in, or one above it.
type group struct {
	source Source
	dir    string // on this machine
}

// A mount is a hierarchy of control groups as this process sees it.
type mount struct {
	version2    bool
	controllers []string // of version 1
	root        string   // the group at the mount point; in a container its own, often
	point       string
}

// groups gives the groups that control something for the process, its own first. None: nothing does.
func (m *Machine) groups(controller string) []group {
	memberships, err := m.read("/proc/" + m.process + "/cgroup")
	if err != nil {
		return nil
	}
	mounts := m.mounts()
	var unified []group
	for line := range strings.Lines(memberships) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // 4:cpu,cpuacct:/docker/…
		if len(part) != 3 {
			continue
		}
		for _, at := range mounts {
			switch {
			case at.version2 && part[0] == "0" && part[1] == "":
				unified = m.upward(CgroupV2, at, part[2])
			case !at.version2 && slices.Contains(at.controllers, controller) && slices.Contains(strings.Split(part[1], ","), controller):
				// On machines that have both, a controller is in one of them, and version 1 has this one.
				return m.upward(CgroupV1, at, part[2])
			}
		}
	}
	return unified
}

// upward lists a group and those above it that can be seen from here.
func (m *Machine) upward(source Source, at mount, path string) (list []group) {
	below, ok := path, true
	if at.root != "/" {
		// A container that has its own group at the mount point, and is told where that is on the host.
		if below, ok = strings.CutPrefix(path, at.root); !ok || below != "" && below[0] != '/' {
			below = ""
		}
	}
	below = filepath.Join("/", below)
	for {
		dir := filepath.Join(m.root, at.point, below)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			list = append(list, group{source, dir})
		}
		if below == "/" {
			return list
		}
		below = filepath.Dir(below)
	}
}

func (m *Machine) mounts() (list []mount) {
	data, err := m.read("/proc/" + m.process + "/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(data) {
		// proc_pid_mountinfo(5): fields of no certain number end with a dash.
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		front, back := strings.Fields(before), strings.Fields(after)
		if !ok || len(front) < 5 || len(back) < 3 {
			continue
		}
		at := mount{root: unescaped(front[3]), point: unescaped(front[4])}
		switch back[0] {
		case "cgroup":
			at.controllers = strings.Split(back[2], ",")
		case "cgroup2":
			at.version2 = true
		default:
			continue
		}
		list = append(list, at)
	}
	return list
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescaped(path string) string { return mountEscapes.Replace(path) }

func (g group) read(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(g.dir, name))
	return strings.TrimSpace(string(data)), err
}

// number reads a file that has one. What is without a limit is as much as can be.
func (g group) number(name string) (int64, error) {
	text, err := g.read(name)
	if err != nil {
		return 0, err
	}
	if text == "max" {
		return math.MaxInt64, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// table reads a file of names and numbers.
func (g group) table(name string) (map[string]int64, error) {
	text, err := g.read(name)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			out[key] = n
		}
	}
	return out, nil
}
