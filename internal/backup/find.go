package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// find opens the backup of a name, from the folder or, where that lacks it, from the remote place.
func (k *Keeper) find(ctx context.Context, name string, tell *teller) (*archive, error) {
	if !backupName.MatchString(name) {
		return nil, unknownBackup(name, nil)
	}
	here, err := k.findInFolder(name)
	if k.Remote == nil || err == nil && here.whole() {
		return here, err
	}
	fetched, remote := k.fetch(ctx, name, tell)
	var fault *Fault
	switch {
	case remote == nil:
		if here != nil {
			here.close()
		}
		return fetched, nil
	case here != nil:
		return here, nil // to hear what is wrong with it
	case errors.As(remote, &fault) && fault.Code == NotFound:
		return nil, err
	}
	return nil, remote
}

func unknownBackup(name string, err error) *Fault {
	return &Fault{Code: NotFound, Detail: fmt.Sprintf("there is no backup %q", name), Err: err,
		Remedy: "choose one that `payaid backup list` shows, or give the path of a dump that lies beside its manifest"}
}

func (k *Keeper) findInFolder(name string) (*archive, error) {
	f, err := openFolder(k.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknownBackup(name, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.close()
	m, err := f.manifest(name)
	if err != nil {
		return nil, err
	}
	file, err := f.root.Open(m.File)
	return opened(m, file, err)
}

func manifestMissing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return unknownBackup(name, err)
	}
	return &Fault{Code: FolderUnusable, Detail: "the manifest of " + name + " can't be read", Err: err,
		Remedy: "let the user that runs this read the folder"}
}

// whole reports whether the file is as long as it was.
func (a *archive) whole() bool {
	info, err := a.file.Stat()
	return err == nil && info.Size() == a.Bytes
}

func opened(m Manifest, file *os.File, err error) (*archive, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Fault{Code: NotFound, Detail: "the dump " + m.File + " is not where its manifest is", Err: err,
			Remedy: "put it back, or take another backup: `payaid backup list` shows them"}
	}
	if err != nil {
		return nil, &Fault{Code: FolderUnusable, Detail: "the dump " + m.File + " can't be read", Err: err,
			Remedy: "let the user that runs this read it"}
	}
	return &archive{Manifest: m, file: file}, nil
}

// findAt opens a backup by the path of its dump or of its manifest, which lie beside each other, wherever that is.
func findAt(path string) (*archive, error) {
	dir, base := filepath.Split(path)
	name := base
	for _, ending := range []string{encryptedEnding, dumpEnding, manifestEnding} {
		if cut, ok := strings.CutSuffix(base, ending); ok {
			name = cut
			break
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, name+manifestEnding))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Fault{Code: ManifestInvalid, Detail: path + " has no manifest beside it", Err: err,
			Remedy: "put " + name + manifestEnding + " into the same folder: it says what must be found in the dump"}
	}
	if err != nil {
		return nil, manifestMissing(name, err)
	}
	m, fault := decodeManifest(name, raw)
	if fault != nil {
		return nil, fault
	}
	file, err := os.Open(filepath.Join(dir, m.File))
	return opened(m, file, err)
}

// mostManifest bounds what is read as a manifest from elsewhere.
const mostManifest = 64 << 20

// fetch brings a backup from the remote place into a file that has no name, so that nothing is left behind.
func (k *Keeper) fetch(ctx context.Context, name string, tell *teller) (*archive, error) {
	raw, err := k.readRemote(ctx, name+manifestEnding)
	if err != nil {
		return nil, err
	}
	m, fault := decodeManifest(name, raw)
	if fault != nil {
		return nil, fault
	}
	dir := k.workDir()
	if free, err := freeBytes(dir); err == nil && free < m.Bytes+m.Bytes/20 {
		return nil, &Fault{Code: DiskFull, Detail: fmt.Sprintf("%s has %s free, and the backup to be fetched has %s", dir, bytesText(free), bytesText(m.Bytes)),
			Remedy: "make room there"}
	}
	from, err := k.Remote.Open(ctx, m.File)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	file, err := namelessIn(dir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, tell.reader(ctx, Fetching, from, m.Bytes)); err != nil {
		_ = file.Close()
		return nil, fetching(ctx, m, err)
	}
	return &archive{Manifest: m, file: file}, nil
}

func fetching(ctx context.Context, m Manifest, err error) error {
	var fault *Fault
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &fault):
		return err
	case errors.Is(err, syscall.ENOSPC):
		return &Fault{Code: DiskFull, Detail: "there is no room for " + m.File + " here", Err: err, Remedy: "make room in the backup folder"}
	}
	return &Fault{Code: RemoteFailed, Detail: "fetch " + m.File + " from the remote place", Err: err, Remedy: "try again; the remote place or the line to it broke off"}
}

func (k *Keeper) readRemote(ctx context.Context, name string) ([]byte, error) {
	from, err := k.Remote.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	raw, err := io.ReadAll(io.LimitReader(from, mostManifest))
	if err != nil {
		return nil, &Fault{Code: RemoteFailed, Detail: "read " + name + " from the remote place", Err: err, Remedy: "try again"}
	}
	return raw, nil
}

// workDir is where files without a name may be large: the folder of backups, or the system's, where there is none.
func (k *Keeper) workDir() string {
	if info, err := os.Stat(k.Dir); k.Dir != "" && err == nil && info.IsDir() {
		return k.Dir
	}
	return os.TempDir()
}

// namelessIn makes a file that is gone from its folder at once.
func namelessIn(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".nameless-*"+unfinishedEnding)
	if err == nil {
		if err = os.Remove(f.Name()); err == nil {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, &Fault{Code: FolderUnusable, Detail: "no file can be made in " + dir, Err: err, Remedy: "let the user that runs this write there"}
}

func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
