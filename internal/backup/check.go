package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Check looks at all that can be known before a backup is made: the folder, the login, the room on the disk, and
// pg_dump of the server's version. It makes nothing, not even the folder, and takes no lock, so that it doesn't get
// into the way of a backup that is being made. The error is the Fault with which Make would end.
func (k *Keeper) Check(ctx context.Context) error {
	var f *folder
	if _, err := os.Lstat(k.Dir); !errors.Is(err, fs.ErrNotExist) { // or the first backup makes it
		if f, err = openFolder(k.Dir); err != nil {
			return err
		}
		defer f.close()
		if err := syscall.Access(k.Dir, 0o2); err != nil {
			return unusable(err, "let the user that PayAid runs as write there, or name another folder in BACKUP_DIR", "%s can't be written into: %v", k.Dir, err)
		}
	}
	s, err := k.openSession(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	if err := s.seesAll(ctx); err != nil {
		return err
	}
	if f != nil {
		bytes, _, err := k.expected(s, f)
		if err != nil {
			return err
		}
		if err := f.roomFor(bytes); err != nil {
			return err
		}
	}
	_, err = findClient(ctx, k.Binaries, s.Major, "pg_dump", "pg_restore")
	return err
}
