package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
func stopOrphan(ctx context.Context, data string, log *slog.Logger) error {
	left := readPostmasterFile(data)
	if left.pid == 0 {
		return nil
	}
	if stateOf(left.pid) == running && isPostmasterOf(left.pid, data) {
		if err := stopPostmaster(ctx, left.pid, data); err != nil {
			return err
		}
	}
	if err := awaitKilled(ctx, left, data, log); err != nil {
		return err
	}
	return left.forget(data)
}

// stopPostmaster asks a postmaster to end, and waits until it does nothing more.
func stopPostmaster(ctx context.Context, pid int, data string) error {
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
