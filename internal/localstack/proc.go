package localstack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What is read from /proc here is only ever used to say more in an error, or to
// make sure before a signal; on a system without /proc the answers are empty.

// descendants lists the processes below pid. Postgres puts each of its processes
// into a session of its own, where a signal to the group does not reach them.
// Below 0, which is no process of ours, there are none: the kernel has it as the
// parent of the first process, and so of all.
func descendants(pid int) []int {
	if pid == 0 {
		return nil
	}
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// The command's name is in parentheses and may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	var all []int
	for next := children[pid]; len(next) > 0; {
		all = append(all, next...)
		var below []int
		for _, child := range next {
			below = append(below, children[child]...)
		}
		next = below
	}
	return all
}

// cmdline is the arguments of a process; nil when there is none such.
func cmdline(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(raw) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
}

// A state is how far a process is from its end.
type state int

const (
	gone   state = iota
	zombie       // it has ended and its parent has not noticed: nothing but its pid is left
	dying        // it was killed, and the kernel is taking it down
	running
)

func stateOf(pid int) state {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return gone
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	switch {
	case strings.HasPrefix(fields["State"], "Z"):
		return zombie
	case strings.HasPrefix(fields["State"], "X"), killPending(fields["SigPnd"]), killPending(fields["ShdPnd"]):
		return dying
	case fields["VmSize"] == "" && isPostgres([]string{fields["Name"]}):
		return dying // its memory is gone already; threads of the kernel never had any
	}
	return running
}

// killPending reads a mask of signals, in which signal n is bit n-1.
func killPending(mask string) bool {
	bits, _ := strconv.ParseUint(mask, 16, 64)
	return bits&(1<<(syscall.SIGKILL-1)) != 0
}

// portHolder names the process that listens on a TCP port, as far as this user
// may know.
func portHolder(port int) string {
	const unknown = "another process"
	socket := listeningSocket(port)
	if socket == "" {
		return unknown
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != socket {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "process " + pid
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return unknown
}

// listeningSocket finds the link text, socket:[inode], of a port's listener.
func listeningSocket(port int) string {
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, _ := os.ReadFile(table)
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == listening {
				return "socket:[" + fields[9] + "]"
			}
		}
	}
	return ""
}
