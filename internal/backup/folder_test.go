package backup

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFolderThatIsNotOurs: a folder that others may read or have put there is refused before anything is in it.
func TestFolderThatIsNotOurs(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	for name, prepare := range map[string]func(t *testing.T, dir string) string{
		"open to the group": func(t *testing.T, dir string) string {
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.Chmod(dir, 0o750))
			return dir
		},
		"open to all": func(t *testing.T, dir string) string {
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.Chmod(dir, 0o755))
			return dir
		},
		"a link": func(t *testing.T, dir string) string {
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.Symlink(dir, dir+"-link"))
			return dir + "-link"
		},
		"a file": func(t *testing.T, dir string) string {
			check(t, os.WriteFile(dir, nil, 0o600))
			return dir
		},
		"of another user": func(t *testing.T, dir string) string {
			if os.Geteuid() != 0 {
				t.Skip("only root gives a folder away: run the tests as root")
			}
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.Chown(dir, 65534, 65534))
			return dir
		},
		"below a file": func(t *testing.T, dir string) string {
			check(t, os.WriteFile(dir, nil, 0o600))
			return filepath.Join(dir, "backups")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := prepare(t, newFolder(t))
			k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
			_, err := k.Make(t.Context(), MakeOptions{})
			wantFault(t, err, FolderUnusable)
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("the folder holds %v, want nothing", files)
			}
		})
	}
}

// TestFolderVanishes: a disk that is gone, or another that is mounted over it, in the middle of a dump.
func TestFolderVanishes(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, dir string){
		"removed": func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) },
		"replaced": func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+"-old"))
			check(t, os.Mkdir(dir, 0o700))
		},
		"the file in it": func(t *testing.T, dir string) {
			list, err := filepath.Glob(filepath.Join(dir, ".payaid_*"+unfinishedEnding))
			check(t, err)
			check(t, os.Remove(list[0]))
		},
		"a file of the same name": func(t *testing.T, dir string) {
			list, err := filepath.Glob(filepath.Join(dir, ".payaid_*"+unfinishedEnding))
			check(t, err)
			name := filepath.Base(list[0])
			putFile(t, dir, name[1:len(name)-len(unfinishedEnding)], "somebody else's")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dir := newDatabase(t), newFolder(t)
			fill(t, url, rows)
			k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
			done := false
			_, err := k.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
				if p.Bytes > 0 && !done {
					done = true
					harm(t, dir)
				}
			}})
			wantFault(t, err, FolderUnusable)
			if raw, err := filepath.Glob(filepath.Join(dir, "payaid_*"+dumpEnding)); name == "a file of the same name" && len(raw) != 1 {
				t.Errorf("got files %q (%v), want that of somebody else to be left alone", raw, err)
			}
			list, err := k.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				if e.Good() {
					t.Errorf("got %+v, want no backup", e)
				}
			}
		})
	}
}

// The folder is made for us alone, is left empty, and one that backups can't go into is named with what to do.
func TestPrepare(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "backups")
	for _, when := range []string{"made", "there already"} {
		check(t, Prepare(dir))
		info, err := os.Lstat(dir)
		check(t, err)
		list, err := os.ReadDir(dir)
		check(t, err)
		if info.Mode() != fs.ModeDir|0o700 || len(list) > 0 {
			t.Errorf("%s: got mode %v and %v in it", when, info.Mode(), list)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	open := t.TempDir()
	check(t, os.Chmod(open, 0o755))
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(dir, link))
	taken := privateFolder(t)
	check(t, os.Mkdir(filepath.Join(taken, probeName), 0o700)) // stands for a folder that refuses files, as root is refused none
	for what, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "backups"), "open to others": open, "a link": link, "not writable": taken} {
		t.Run(what, func(t *testing.T) { wantFault(t, Prepare(dir), FolderUnusable) })
	}
}

// A disk without a byte left is no place for backups, and nothing of the try stays on it.
func TestPrepareOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=64k")
	check(t, Prepare(dir))
	_ = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600) // as much as there is room for
	wantFault(t, Prepare(dir), DiskFull)
	if _, err := os.Lstat(filepath.Join(dir, probeName)); err == nil {
		t.Error("the file of the try is left there")
	}
}

// TestSweep: what a killed run has left goes, at whatever moment it was killed; what somebody writes stays, and so
// does a dump whose manifest was lost, and what isn't ours.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := privateFolder(t)
	whole := put(t, dir, today, "dump")
	putFile(t, dir, ".payaid_20260301_010000.dump.zst.partial", "half")
	putFile(t, dir, ".payaid_20260301_020000.manifest.json.partial", "{")
	putFile(t, dir, "payaid_20260301_020000.dump.zst", "named, its manifest not yet")
	putFile(t, dir, "payaid_20260301_030000.dump.zst", "its manifest was lost")
	putFile(t, dir, ".hidden.partial", "mine")
	f, err := openFolder(dir)
	check(t, err)
	defer f.close()
	writing, err := f.create("payaid_20260301_040000.dump.zst.age")
	check(t, err)
	k := newKeeper(t, Config{Dir: dir})
	check(t, k.Sweep(t.Context()))
	for name, want := range map[string]bool{
		whole.File: true, whole.Name + manifestEnding: true,
		".payaid_20260301_010000.dump.zst.partial":        false,
		".payaid_20260301_020000.manifest.json.partial":   false,
		"payaid_20260301_020000.dump.zst":                 false,
		"payaid_20260301_030000.dump.zst":                 true,
		".hidden.partial":                                 true,
		unfinished("payaid_20260301_040000.dump.zst.age"): true,
	} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	check(t, writing.Close())
	check(t, k.Sweep(t.Context()))
	if _, err := os.Lstat(filepath.Join(dir, unfinished("payaid_20260301_040000.dump.zst.age"))); err == nil {
		t.Error("what nobody writes any more is still there")
	}
}

// TestLockEndsWithItsHolder: closing a folder gives it back even if a child that was just being forked has a copy of
// every descriptor.
func TestLockEndsWithItsHolder(t *testing.T) {
	t.Parallel()
	dir := privateFolder(t)
	f, err := openFolder(dir)
	check(t, err)
	check(t, f.take())
	forked, err := syscall.Dup(int(f.lock.Fd()))
	check(t, err)
	defer syscall.Close(forked)
	other, err := openFolder(dir)
	check(t, err)
	defer other.close()
	wantFault(t, other.take(), Busy)
	f.close()
	check(t, other.take())
}
