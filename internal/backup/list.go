package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// List gives the backups of both places, the newest first, with those that can't be used and why. Files are looked
// at, not read whole: whether the bytes are still the right ones is for Verify. A remote place that is away is an error
// only where the folder has no good backup; else it is logged, and the list is that of the folder.
func (k *Keeper) List(ctx context.Context) ([]Entry, error) {
	var f *folder
	var local []Entry
	if _, err := os.Lstat(k.Dir); !errors.Is(err, fs.ErrNotExist) { // or nothing was ever made here
		if f, err = openFolder(k.Dir); err != nil {
			return nil, err
		}
		defer f.close()
		if local, err = k.listFolder(f); err != nil {
			return nil, err
		}
	}
	if k.Remote == nil {
		return local, nil
	}
	remote, err := k.listRemote(ctx, f)
	if err != nil && ctx.Err() == nil && slices.ContainsFunc(local, Entry.Good) {
		k.Log.WarnContext(ctx, "backups of the remote place could not be listed", "error", err)
		return local, nil
	}
	if err != nil {
		return nil, err
	}
	return merged(local, remote), nil
}

func (k *Keeper) listFolder(f *folder) ([]Entry, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	files := make(map[string][]string) // endings by backup
	for _, name := range names {
		if m := backupFile.FindStringSubmatch(name); m != nil {
			files[m[1]] = append(files[m[1]], m[2])
		}
	}
	list := make([]Entry, 0, len(files))
	for name, endings := range files {
		list = append(list, f.entry(name, endings))
	}
	newestFirst(list)
	return list, nil
}

// newestFirst sorts by the time of the snapshot, or by name where there is no manifest.
func newestFirst(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int {
		if a.Manifest != nil && b.Manifest != nil {
			if c := b.Manifest.StartedAt.Compare(a.Manifest.StartedAt); c != 0 {
				return c
			}
		}
		return strings.Compare(b.Name, a.Name)
	})
}

// entry looks at the files of one backup.
func (f *folder) entry(name string, endings []string) Entry {
	e := Entry{Name: name, Places: []string{InFolder}}
	if !slices.Contains(endings, manifestEnding) {
		e.Problem = &Fault{Code: ManifestInvalid, Detail: name + " has no manifest: it was never finished, or the manifest was removed",
			Remedy: "put the manifest back from where it was copied to, or remove what is left of it"}
		return e
	}
	m, err := f.manifest(name)
	if err != nil {
		e.Problem = asFault(err, ManifestInvalid)
		return e
	}
	e.Manifest = &m
	if e.Problem = f.wrongFile(m); e.Problem == nil && slices.Contains(endings, verificationEnding) {
		e.Verification = f.verification(m)
	}
	return e
}

// manifest reads that of a backup.
func (f *folder) manifest(name string) (Manifest, error) {
	raw, err := f.read(name + manifestEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, &Fault{Code: NotFound, Detail: "there is no backup " + name, Remedy: "`payaid backup list` shows those that there are", Err: err}
	}
	if err != nil {
		return Manifest{}, &Fault{Code: ManifestInvalid, Detail: fmt.Sprintf("the manifest of %s can't be read: %v", name, cause(err)), Err: err,
			Remedy: "use another backup"}
	}
	m, fault := decodeManifest(name, raw)
	if fault != nil {
		return m, fault
	}
	return m, nil
}

// verification is the last one of exactly this dump, nil where there is none.
func (f *folder) verification(m Manifest) *Verification {
	raw, err := f.read(m.Name + verificationEnding)
	if err != nil {
		return nil
	}
	return decodeVerification(m, raw)
}

// wrongFile says what is wrong with a dump at a glance.
func (f *folder) wrongFile(m Manifest) *Fault {
	info, err := f.root.Lstat(m.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Fault{Code: NotFound, Detail: "the dump of " + m.Name + " is gone", Remedy: "use another backup", Err: err}
	case err != nil:
		return &Fault{Code: Corrupted, Detail: fmt.Sprintf("the dump of %s can't be read: %v", m.Name, cause(err)), Remedy: "check the disk", Err: err}
	case !info.Mode().IsRegular():
		return &Fault{Code: Corrupted, Detail: m.File + " is no regular file", Remedy: "use another backup"}
	case info.Size() < m.Bytes:
		return &Fault{Code: Truncated, Detail: fmt.Sprintf("%s has %d bytes, and had %d", m.File, info.Size(), m.Bytes), Remedy: "use another backup"}
	case info.Size() > m.Bytes:
		return &Fault{Code: Corrupted, Detail: fmt.Sprintf("%s has %d bytes, and had %d", m.File, info.Size(), m.Bytes), Remedy: "use another backup"}
	}
	return nil
}

// Documents beside a dump are small; a larger one is something else.
const mostDocument = 16 << 20

func (f *folder) read(name string) ([]byte, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, mostDocument))
}

// asFault is the fault in err, or err as one.
func asFault(err error, code string) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Code: code, Detail: err.Error(), Err: err}
}
