package localstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A fast shutdown writes a checkpoint, which takes a slow disk some seconds; an
// immediate one leaves that to the next start.
const (
	fastShutdownPatience      = 20 * time.Second
	immediateShutdownPatience = 10 * time.Second
)

// stopOrphan stops a postmaster that outlived its parent, or that is still on its
// way down, and waits for its end: two of them on one data folder would destroy
// it. The caller holds the folder's lock, so no living parent owns that process.
func stopOrphan(ctx context.Context, data string) error {
	pid := postmasterPid(data)
	if pid == 0 {
		return nil
	}
	if !isPostmasterOf(pid, data) {
		return forgetStranger(pid, data)
	}
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{
		{syscall.SIGINT, fastShutdownPatience},
		{syscall.SIGQUIT, immediateShutdownPatience},
	} {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the Postgres that is left in %s (process %d): %w", data, pid, err)
		}
		within, cancel := context.WithTimeout(ctx, step.patience)
		err := poll(within, func(context.Context) error {
			if isPostmasterOf(pid, data) {
				return errors.New("it is still running")
			}
			return nil
		})
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("a Postgres is left in %s (process %d) and does not end: look into %s, then end it by hand",
		data, pid, filepath.Join(filepath.Dir(data), "postgres.log"))
}

// postmasterPid is what the lock file of a data folder says; 0 without one. It
// outlives a crash, so that the process may be any other by now.
func postmasterPid(data string) int {
	raw, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	// A standalone backend writes its pid negated.
	pid, _ := strconv.Atoi(strings.TrimLeft(first, "-"))
	return pid
}

// isPostmasterOf recognises our own command line: the program and its -D.
func isPostmasterOf(pid int, data string) bool {
	args := cmdline(pid)
	if !isPostgres(args) {
		return false
	}
	at := slices.Index(args, "-D")
	if at < 0 || at+1 >= len(args) {
		return false
	}
	theirs, err := os.Stat(args[at+1])
	if err != nil {
		return false
	}
	ours, err := os.Stat(data)
	return err == nil && os.SameFile(theirs, ours)
}

func isPostgres(args []string) bool {
	return len(args) > 0 && strings.HasPrefix(filepath.Base(args[0]), "postgres")
}

// forgetStranger removes the lock file of a postmaster that is long dead, when
// its pid has gone to a process that is no Postgres, as happens whenever a
// container starts anew. Postgres itself would refuse to start because of it.
func forgetStranger(pid int, data string) error {
	args := cmdline(pid)
	if len(args) == 0 || isPostgres(args) {
		return nil // dead, or for Postgres to judge
	}
	return os.Remove(filepath.Join(data, "postmaster.pid"))
}
