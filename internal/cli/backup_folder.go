package cli

import (
	"errors"
	"log/slog"
	"time"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/jobs"
)

// folderWithin bounds how long a worker's start waits for a disk, which may be away over a network.
const folderWithin = 5 * time.Second

// prepareBackups makes the folder of backups where this worker is to make them, and says what is wrong with it now rather
// than in the night. The worker starts all the same, and each backup tries again.
func (w workerSetup) prepareBackups(log *slog.Logger) {
	dir := w.backups.config.Dir
	if dir == "" || w.queues[jobs.Maintenance.Name] == 0 {
		return
	}
	prepared := make(chan error, 1) // nobody can end a call that a dead disk holds: it is left to itself
	go func() { prepared <- backup.Prepare(dir) }()
	late := time.NewTimer(folderWithin)
	defer late.Stop()
	select {
	case err := <-prepared:
		var fault *backup.Fault
		switch {
		case errors.As(err, &fault):
			log.Warn("no backup can be made for now", "dir", dir, "code", fault.Code, "detail", fault.Detail, "remedy", fault.Remedy)
		case err != nil:
			log.Warn("no backup can be made for now", "dir", dir, "error", err)
		}
	case <-late.C:
		log.Warn("no backup can be made for now", "dir", dir, "detail", "the disk of the folder doesn't answer", "remedy", "check that it is mounted, and the machine that it is on")
	}
}
