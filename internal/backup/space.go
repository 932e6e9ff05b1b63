package backup

import (
	"fmt"
	"syscall"
)

// Some of a disk stays free in any case: the database may be on the same one, and it stops when that is full. It is
// a gigabyte, or a twentieth of a small disk.
const mostReserve = 1 << 30

// space says how much of the folder's disk is free for us, and how much of it stays free.
func (f *folder) space() (free, reserve int64, err error) {
	d, err := f.root.Open(".")
	if err != nil {
		return 0, 0, f.writing(err, "open the folder")
	}
	defer d.Close()
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(d.Fd()), &s); err != nil {
		return 0, 0, f.writing(err, "ask for the free space")
	}
	block := int64(s.Bsize)
	return int64(s.Bavail) * block, min(mostReserve, int64(s.Blocks)*block/20), nil
}

// roomFor refuses to begin a backup that won't fit.
func (f *folder) roomFor(expected int64) error {
	free, reserve, err := f.space()
	if err != nil {
		return err
	}
	if need := expected + reserve; free < need {
		return &Fault{Code: DiskFull, Detail: fmt.Sprintf("the disk of %s has %s free: a backup takes about %s, and %s more stay free for whatever else is there",
			f.dir, bytesText(free), bytesText(expected), bytesText(reserve)),
			Remedy: fmt.Sprintf("make %s of room there, or name a folder on another disk in BACKUP_DIR; a shorter BACKUP_RETENTION_DAYS keeps fewer", bytesText(need-free))}
	}
	return nil
}

// stillRoom stops a backup that turns out larger than expected before it fills the disk.
func (f *folder) stillRoom() error {
	free, reserve, err := f.space()
	if err != nil {
		return err
	}
	if free < reserve/4 {
		return f.writing(syscall.ENOSPC, "go on")
	}
	return nil
}

func bytesText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
