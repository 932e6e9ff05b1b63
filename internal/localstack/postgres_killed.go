package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What was killed is gone when the kernel has taken it down, which a machine with
// much to do takes its time for.
const killedPatience = time.Minute

// memoryLine is where LOCK_FILE_LINE_SHMEM_KEY of Postgres' pidfile.h is, from 0.
const memoryLine = 6

// postmasterFile is the lock file of a data folder. It outlives a crash, so that
// the process may be any other by now.
type postmasterFile struct {
	pid    int // 0 without a file
	key    uint64
	memory string // id of its shared memory; "" when it had none yet
}

func readPostmasterFile(data string) (f postmasterFile) {
	raw, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return f
	}
	lines := strings.Split(string(raw), "\n")
	// A standalone backend writes its pid negated.
	f.pid, _ = strconv.Atoi(strings.TrimLeft(lines[0], "-"))
	if len(lines) > memoryLine {
		if _, err := fmt.Sscan(lines[memoryLine], &f.key, &f.memory); err != nil {
			f.key, f.memory = 0, ""
		}
	}
	return f
}

// servers counts the processes that use the postmaster's shared memory, itself
// among them. It is not known where the kernel does not tell.
func (f postmasterFile) servers() (n int, known bool) {
	raw, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line) // key, shmid, perms, size, cpid, lpid, nattch
		if len(fields) > 6 && fields[1] == f.memory && fields[0] == strconv.Itoa(int(int32(f.key))) {
			n, err = strconv.Atoi(fields[6])
			return n, err == nil
		}
	}
	return 0, true
}

// awaitKilled waits for what a SIGKILL to everybody at once leaves for a moment: a
// postmaster on its way down, and servers of it that have not noticed its end.
// Postgres takes both for another that runs, and would refuse to start. A zombie
// is waited for only where nobody can tell whether its servers are gone. After the
// patience it is for Postgres to judge.
func awaitKilled(ctx context.Context, left postmasterFile, data string, log *slog.Logger) error {
	within, cancel := context.WithTimeout(ctx, killedPatience)
	defer cancel()
	said := false
	err := poll(within, func(context.Context) error {
		n, known := left.servers()
		state := stateOf(left.pid)
		runs := state == running && isPostgres(cmdline(left.pid))
		if state != dying && (n == 0 || runs) && (known || state != zombie) {
			return nil
		}
		if !said {
			said = true
			log.Info("waiting for the end of a postgres that was killed", "pid", left.pid, "servers", n, "folder", data)
		}
		return errors.New("it has not ended yet")
	})
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the end of the Postgres that was killed in %s (process %d): %w", data, left.pid, err)
	}
	return nil
}

// forget removes the lock file of a postmaster that is dead, when its pid belongs
// to a process that is no Postgres, as happens whenever a container starts anew,
// or to a zombie, which some containers never reap. Postgres itself would refuse
// to start because of it. While anybody uses its memory the file stays: Postgres
// finds that memory by it.
func (f postmasterFile) forget(data string) error {
	n, known := f.servers()
	if n > 0 || readPostmasterFile(data) != f {
		return nil
	}
	switch stateOf(f.pid) {
	case zombie:
		if !known {
			return nil
		}
	case running:
		if args := cmdline(f.pid); len(args) == 0 || isPostgres(args) {
			return nil // for Postgres to judge
		}
	default:
		return nil
	}
	return os.Remove(filepath.Join(data, "postmaster.pid"))
}
