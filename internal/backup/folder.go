package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// A folder is where backups lie, held open: neither what happens to its name meanwhile nor a link in it leads elsewhere.
type folder struct {
	dir  string
	root *os.Root
	lock *os.File // nil until it is taken
}

const (
	unfinishedEnding = ".partial"
	lockName         = ".lock"
)

// openFolder opens the folder of backups, and refuses one that others may read or have put there.
func openFolder(dir string) (*folder, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, unusable(err, "check that the disk is mounted, or name another folder in BACKUP_DIR", "%s can't be opened: %v", dir, cause(err))
	}
	if err := private(dir, info); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unusable(err, "give it to the user that PayAid runs as", "%s can't be opened: %v", dir, cause(err))
	}
	f := &folder{dir: dir, root: root}
	if err := f.still(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// makeFolder makes the folder where there is none, for us alone.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(err, "make the folder, or name another in BACKUP_DIR", "%s can't be made: %v", dir, cause(err))
	}
	return nil
}

// probeName is that of a file that is written and removed, to see whether that works. It is always the same one, so that
// killed runs leave no heap.
const probeName = ".probe" + unfinishedEnding

// Prepare makes the folder of backups where there is none, and finds out whether backups can be written into it. The
// error is the Fault with which Make would end.
func Prepare(dir string) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	f, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer f.close()
	probe, err := f.root.OpenFile(probeName, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return f.writing(err, "make a file")
	}
	_, err = probe.WriteString(nameLayout) // a full disk makes empty files
	if err := errors.Join(err, probe.Close()); err != nil {
		return f.writing(errors.Join(err, f.root.Remove(probeName)), "write a file")
	}
	if err := f.root.Remove(probeName); err != nil && !errors.Is(err, fs.ErrNotExist) { // by another process that probes
		return f.writing(err, "remove a file")
	}
	return nil
}

// private refuses a folder that isn't ours alone. A dump holds everything that all customers have.
func private(dir string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return unusable(nil, "name the folder itself in BACKUP_DIR", "%s is a link, which others may lead elsewhere", dir)
	}
	if !info.IsDir() {
		return unusable(nil, "name a folder in BACKUP_DIR", "%s is no folder", dir)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return unusable(nil, fmt.Sprintf("`chown %d %s`, or name another folder in BACKUP_DIR", os.Geteuid(), dir),
			"%s belongs to user %d, not to user %d that PayAid runs as", dir, owner.Uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return unusable(nil, "`chmod 700 "+dir+"`", "%s is open to others (mode %03o)", dir, mode)
	}
	return nil
}

func unusable(err error, remedy, format string, args ...any) *Fault {
	return &Fault{Code: FolderUnusable, Detail: "the backup folder " + fmt.Sprintf(format, args...), Remedy: remedy, Err: err}
}

// cause is what an error of a file is, without the file's name, which the reader knows.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// still checks that the folder is the one that its name leads to.
func (f *folder) still() error {
	open, err := f.root.Stat(".")
	if err == nil {
		var named fs.FileInfo
		if named, err = os.Lstat(f.dir); err == nil && os.SameFile(open, named) {
			return nil
		}
	}
	return unusable(err, "leave the folder where it is while a backup is made, and make another",
		"%s was removed or replaced meanwhile", f.dir)
}

// take locks the folder against other processes, also those of another database. The lock ends with the process.
func (f *folder) take() error {
	lock, err := f.root.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return f.writing(err, "make the lock")
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return &Fault{Code: Busy, Detail: "another process works in " + f.dir, Remedy: "wait until it has ended", Err: err}
	}
	f.lock = lock
	return nil
}

func (f *folder) close() {
	if f.lock != nil {
		// A child that is being forked right now holds a copy of the descriptor, and would keep the lock for a moment.
		_ = syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN)
		_ = f.lock.Close()
	}
	_ = f.root.Close()
}

// create makes a file that carries its name only once it is complete: until then it begins with a dot and ends in
// .partial.
func (f *folder) create(name string) (*os.File, error) {
	file, err := f.root.OpenFile(unfinished(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, f.writing(err, "make "+unfinished(name))
	}
	// Whoever sweeps sees by it that somebody is writing.
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, f.writing(errors.Join(err, file.Close()), "lock "+unfinished(name))
	}
	return file, nil
}

func unfinished(name string) string { return "." + name + unfinishedEnding }

// finish gives a complete file its name. It must be on disk already, and the folder's lock be held.
func (f *folder) finish(name string) error {
	if _, err := f.root.Lstat(name); err == nil {
		return unusable(fs.ErrExist, "find out who writes into the folder", "%s has a file %s that was not there before", f.dir, name)
	}
	if err := f.root.Rename(unfinished(name), name); err != nil {
		return f.writing(err, "give "+name+" its name")
	}
	return nil
}

// sync makes names last that were given.
func (f *folder) sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return f.writing(err, "open the folder")
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return f.writing(err, "write the folder to disk")
	}
	return nil
}

// writing explains why a file can't be written.
func (f *folder) writing(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &Fault{Code: DiskFull, Detail: "the disk of " + f.dir + " is full", Err: err,
			Remedy: "make room there, shorten BACKUP_RETENTION_DAYS, or name a folder on another disk in BACKUP_DIR"}
	case errors.Is(err, fs.ErrNotExist):
		return unusable(err, "leave the folder where it is, or check that the disk is mounted", "%s is gone", f.dir)
	}
	return unusable(err, "check that the disk is mounted, writable and healthy", "%s: %s: %v", f.dir, what, cause(err))
}

// sweep removes what killed runs have left. What somebody writes right now is locked by them.
func (f *folder) sweep() ([]string, error) {
	list, err := f.names()
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, name := range list {
		whole, ok := strings.CutSuffix(strings.TrimPrefix(name, "."), unfinishedEnding)
		if !ok || !strings.HasPrefix(name, ".") || !backupFile.MatchString(whole) || f.written(name) {
			continue
		}
		gone := []string{name}
		if dump, ok := f.namedTooEarly(whole); ok {
			gone = []string{dump, name} // in this order, or the dump would be left without a sign
		}
		for _, name := range gone {
			if err := f.root.Remove(name); err != nil {
				return removed, f.writing(err, "remove "+name)
			}
			removed = append(removed, name)
		}
	}
	return removed, nil
}

// written reports whether somebody is writing an unfinished file.
func (f *folder) written(name string) bool {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// namedTooEarly is the dump of a run that was killed between naming it and naming its manifest, which was written
// before. A dump that has neither is left alone: somebody lost its manifest, and may find it again.
func (f *folder) namedTooEarly(manifest string) (dump string, ok bool) {
	name, ok := strings.CutSuffix(manifest, manifestEnding)
	if !ok {
		return "", false
	}
	if _, err := f.root.Lstat(manifest); err == nil {
		return "", false
	}
	for _, ending := range []string{dumpEnding, encryptedEnding} {
		if _, err := f.root.Lstat(name + ending); err == nil {
			return name + ending, true
		}
	}
	return "", false
}

// names are those of the files in the folder.
func (f *folder) names() ([]string, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return nil, f.writing(err, "open the folder")
	}
	defer d.Close()
	list, err := d.Readdirnames(-1)
	if err != nil {
		return nil, f.writing(err, "read the folder")
	}
	return list, nil
}

// freeName is the name of a backup that is made now: of the first second for which there is no file yet. The clock
// may stand still, or go back.
func (f *folder) freeName(now time.Time) (string, error) {
	list, err := f.names()
	if err != nil {
		return "", err
	}
	taken := make(map[string]bool)
	for _, name := range list {
		if m := backupFile.FindStringSubmatch(name); m != nil {
			taken[m[1]] = true
		}
	}
	for at := now.UTC(); ; at = at.Add(time.Second) {
		if name := at.Format(nameLayout); !taken[name] {
			return name, nil
		}
	}
}
