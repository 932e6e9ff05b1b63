package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// TestKilledProcess: kill -9 of the process that makes a backup ends pg_dump too, and leaves nothing that looks like
// a backup. The next one cleans up.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	programs := filepath.Dir(realLink(t))
	o := startOther(t, Config{DatabaseURL: s.url, Dir: s.dir, Binaries: programs})
	if len(working(programs)) != 1 {
		t.Fatalf("got pg_dump %v, want one", working(programs))
	}
	unfinished := 0
	for name := range s.files(t) {
		if strings.HasPrefix(name, ".payaid_") && strings.HasSuffix(name, unfinishedEnding) {
			unfinished++
		}
	}
	if unfinished != 1 {
		t.Errorf("got files %v during the dump, want one unfinished", s.files(t))
	}
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = o.cmd.Wait()
	eventually(t, "pg_dump ends", func() bool { return len(working(programs)) == 0 })
	list, err := s.keeper.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Good() {
		t.Errorf("got backups %+v (%v), want the one from before alone", list, err)
	}
	s.quiet(t)
	if err := s.keeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.untouched(t)
	s.again(t)
}

// realLink is Postgres' own pg_dump under a name that no other test has.
func realLink(t *testing.T) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "pg_dump")
	if err := os.Symlink(realDump(t), link); err != nil {
		t.Fatal(err)
	}
	return link
}

// TestTwoAtOnce: the second gives up soon, and names the first; a sweep leaves what the first writes.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	o := startOther(t, Config{DatabaseURL: s.url, Dir: s.dir})
	s.keeper.patience = 300 * time.Millisecond
	_, err := s.keeper.Make(t.Context(), MakeOptions{})
	if f := wantFault(t, err, Busy); !strings.Contains(f.Detail, "payaid-backup") || !strings.Contains(f.Detail, "pid") {
		t.Errorf("got %q, want who has the lock", f.Detail)
	}
	elsewhere := newKeeper(t, Config{DatabaseURL: newDatabase(t), Dir: s.dir})
	_, err = elsewhere.Make(t.Context(), MakeOptions{})
	wantFault(t, err, Busy)
	wantFault(t, s.keeper.Sweep(t.Context()), Busy)
	_, err = s.keeper.Retain(t.Context())
	wantFault(t, err, Busy)
	if err := o.in.Close(); err != nil {
		t.Fatal(err)
	}
	if line, err := o.out.ReadString('\n'); line != "made\n" {
		t.Errorf("the first says %q (%v), want that it made its backup", line, err)
	}
	if list, err := s.keeper.List(t.Context()); err != nil || len(list) != 2 || !list[0].Good() || !list[1].Good() {
		t.Errorf("got backups %+v (%v), want two", list, err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	programs := filepath.Dir(realLink(t))
	k := newKeeper(t, Config{DatabaseURL: s.url, Dir: s.dir, Binaries: programs})
	_, err := k.Make(ctx, MakeOptions{Progress: func(p Progress) {
		if p.Bytes > 0 {
			cancel()
		}
	}})
	var f *Fault
	if !errors.Is(err, context.Canceled) || errors.As(err, &f) {
		t.Errorf("got %v, want that it was cancelled, which is no fault", err)
	}
	if left := working(programs); len(left) > 0 {
		t.Errorf("pg_dump %v still works", left)
	}
	s.untouched(t)
	s.again(t)
}

// TestPostgresKilled: the server goes away in the middle.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	s, pg := privateSite(t)
	killed := false
	_, err := s.keeper.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		if p.Bytes > 0 && !killed {
			killed = true
			pg.Kill()
		}
	}})
	wantFault(t, err, DatabaseAway)
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.untouched(t)
	s.again(t)
}

// TestLockLost: without the session that holds the lock a dump that ended well is no backup.
func TestLockLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	super := connect(t, localstack.TestPostgres(t).SuperURL("postgres"))
	ended := false
	_, err := s.keeper.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		if p.Bytes > 0 && !ended {
			ended = true
			run(t, super, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'payaid-backup'
				AND datname = $1`, connect(t, s.url).Config().Database)
		}
	}})
	wantFault(t, err, DatabaseAway)
	s.untouched(t)
	s.again(t)
}

// TestDiskFull: too little room is seen before the first byte; a disk that others fill meanwhile is an error too.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := smallDisk(t, "size=16m")
	dir := filepath.Join(disk, "backups")
	k := newKeeper(t, Config{DatabaseURL: s.url, Dir: dir})
	if _, err := k.Make(t.Context(), MakeOptions{}); err != nil {
		t.Fatal(err)
	}
	full := &site{url: s.url, dir: dir, keeper: k}
	full.before = full.files(t)
	filler := filepath.Join(disk, "filler")
	_, err := k.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		if p.Bytes > 0 {
			_ = os.WriteFile(filler, make([]byte, 32<<20), 0o600) // as much as there is room for
		}
	}})
	f := wantFault(t, err, DiskFull)
	if !errors.Is(f, syscall.ENOSPC) {
		t.Errorf("got %v, want the disk's own error", f.Err)
	}
	full.untouched(t)
	_, err = k.Make(t.Context(), MakeOptions{})
	if f := wantFault(t, err, DiskFull); f.Err != nil {
		t.Errorf("got %v, want to be told before the first byte", f.Err)
	}
	full.untouched(t)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	full.again(t)
}

// smallDisk is one of a few megabytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small disk is mounted by root alone: run the tests as root to see what happens when one is full")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size+",mode=0700"); err != nil {
		t.Skipf("a small disk can't be mounted here (%v): run the tests where it can", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestSchemaChanges: who changes a table waits for the dump, and is not lost; a table that is locked too long is
// named, with who locks it.
func TestSchemaChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	changed := make(chan error, 1)
	began := false
	m, err := s.keeper.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		if p.Bytes > 0 && !began {
			began = true
			conn := connect(t, s.url)
			go func() {
				_, err := conn.Exec(t.Context(), `ALTER TABLE items ALTER COLUMN text TYPE varchar(900)`)
				changed <- err
			}()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Error(err)
	}
	i := slices.IndexFunc(m.Tables, func(t Table) bool { return t.Name == "public.items" })
	if got := m.Tables[i].Rows; got != rows {
		t.Errorf("got %d rows, want %d", got, rows)
	}
	s.before = s.files(t)
	locker := connect(t, s.url)
	run(t, locker, `SET application_name = 'a long migration'`)
	run(t, locker, `BEGIN`)
	run(t, locker, `LOCK TABLE items`)
	s.keeper.tableWait = 300 * time.Millisecond
	_, err = s.keeper.Make(t.Context(), MakeOptions{})
	f := wantFault(t, err, LockTimeout)
	if !strings.Contains(f.Detail, "items") || !strings.Contains(f.Detail, "a long migration") {
		t.Errorf("got %q, want the table and who locks it", f.Detail)
	}
	run(t, locker, `ROLLBACK`)
	s.again(t)
}

// TestSnapshotIsYoungerThanItsLocks: TRUNCATE shows through older snapshots, so one that is taken before the tables
// are locked would find a table empty that never was.
func TestSnapshotIsYoungerThanItsLocks(t *testing.T) {
	t.Parallel()
	url, dir := newDatabase(t), newFolder(t)
	fill(t, url, 100)
	loader, watcher := connect(t, url), connect(t, url)
	run(t, loader, `BEGIN`)
	run(t, loader, `TRUNCATE items`)
	run(t, loader, `INSERT INTO items (text) SELECT 'reloaded' FROM generate_series(1, 5)`)
	k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
	type outcome struct {
		m   Manifest
		err error
	}
	made := make(chan outcome, 1)
	go func() {
		m, err := k.Make(t.Context(), MakeOptions{})
		made <- outcome{m, err}
	}()
	eventually(t, "the backup waits for the table", func() bool {
		var waits bool
		err := watcher.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'items'::regclass)`).Scan(&waits)
		return err == nil && waits
	})
	run(t, loader, `COMMIT`)
	got := <-made
	if got.err != nil {
		t.Fatal(got.err)
	}
	i := slices.IndexFunc(got.m.Tables, func(t Table) bool { return t.Name == "public.items" })
	if n := got.m.Tables[i].Rows; n != 5 {
		t.Errorf("got %d rows counted, want 5", n)
	}
	if archive := string(unpack(t, dir, got.m)); strings.Count(archive, "\treloaded\t") != 5 {
		t.Errorf("got %d rows dumped, want 5", strings.Count(archive, "\treloaded\t"))
	}
}

// TestNobodyReadsThePassword: arguments and environment of a process can be read by others on the machine.
func TestNobodyReadsThePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	programs := filepath.Dir(realLink(t))
	password := connect(t, s.url).Config().Password
	k := newKeeper(t, Config{DatabaseURL: s.url, Dir: s.dir, Binaries: programs})
	var arguments, environment string
	_, err := k.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		for _, pid := range working(programs) {
			for file, seen := range map[string]*string{"cmdline": &arguments, "environ": &environment} {
				raw, _ := os.ReadFile(filepath.Join("/proc", pid, file))
				*seen += string(raw)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(arguments, "--snapshot=") || !strings.Contains(environment, "PGSERVICE=payaid") {
		t.Fatalf("pg_dump was not seen at work: %q, %q", arguments, environment)
	}
	if strings.Contains(arguments+environment, password) {
		t.Errorf("the password is in %q, or in %q", arguments, environment)
	}
	ours := []string{"PATH", "HOME", "LC_ALL", "PGSERVICEFILE", "PGSERVICE", "PGPASSFILE", "PGAPPNAME", "PWD"}
	for one := range strings.SplitSeq(strings.Trim(environment, "\x00"), "\x00") {
		if name, _, _ := strings.Cut(one, "="); !slices.Contains(ours, name) {
			t.Errorf("pg_dump has %s of our environment, which holds the keys of everything", name)
		}
	}
}
