package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpu is the processor time that this process and a Postgres have used so far. The ratio of two of its
// differences stays true where other programs disturb the clock.
func cpu(postmaster int) (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		total += processTime(string(data), postmaster)
	}
	return total, nil
}

// tick is the unit of time in /proc on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processTime reads a line of /proc/PID/stat (proc(5)): the time of a child of the postmaster, or of the
// postmaster with all the children that have ended.
func processTime(stat string, postmaster int) time.Duration {
	pid, _, _ := strings.Cut(stat, " ")
	// The name, in parentheses, may hold spaces.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const parent, user, system, endedUser, endedSystem = 1, 11, 12, 13, 14
	if len(fields) <= endedSystem {
		return 0
	}
	var ticks int
	count := func(i int) {
		n, _ := strconv.Atoi(fields[i])
		ticks += n
	}
	switch {
	case pid == strconv.Itoa(postmaster):
		count(user)
		count(system)
		count(endedUser)
		count(endedSystem)
	case fields[parent] == strconv.Itoa(postmaster):
		count(user)
		count(system)
	}
	return time.Duration(ticks) * tick
}
