package backup

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
)

// faked is a folder with a pg_restore that does the script's work; in it, $REAL is Postgres' own.
func faked(t *testing.T, script string) string {
	t.Helper()
	dir, real := t.TempDir(), filepath.Join(filepath.Dir(realDump(t)), "pg_restore")
	text := "#!/bin/bash\nREAL=" + real + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "pg_restore"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

const honest = `[ "$1" = --version ] && exec $REAL --version` + "\n"

// What pg_restore does, or doesn't do, is never taken for a restored database, and says of the backup what it can.
func TestPgRestoreFails(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	k, m := backedUp(t, Config{DatabaseURL: url})
	for _, tt := range []struct{ what, script, code, state string }{
		{"it is of another version", `echo "pg_restore (PostgreSQL) 9.6.24"`, ClientVersion, Impossible},
		{"it is killed at once", honest + `kill -9 $$`, RestoreFailed, Impossible},
		{"it is killed in the middle", honest + `head -c 20000 | $REAL "$@" & wait; kill -9 $$`, RestoreFailed, Impossible},
		{"it is asked to end", honest + `kill -TERM $$`, RestoreFailed, Impossible},
		{"it does nothing and is content", honest + `cat > /dev/null`, Different, Failed},
		{"it complains and is content", honest + `cat > /dev/null; echo "pg_restore: error: something" >&2`, RestoreFailed, Failed},
		{"it restores half and is content", honest + `$REAL -L <(echo) "$@"; exit 0`, Different, Failed},
		{"it restores no rows", honest + `exec $REAL --schema-only "$@"`, Different, Failed},
		{"the disk of Postgres is full", honest + `cat > /dev/null; echo 'pg_restore: error: COPY failed for table "x": ERROR:  could not extend file "base/1/2": No space left on device' >&2; exit 1`, DiskFull, Impossible},
	} {
		t.Run(tt.what, func(t *testing.T) {
			other := newKeeper(t, Config{DatabaseURL: url, Dir: k.Dir, Binaries: faked(t, tt.script)})
			v, err := other.Verify(t.Context(), m.Name, nil)
			wantFault(t, err, tt.code)
			if v.State != tt.state {
				t.Errorf("got state %s, want %s", v.State, tt.state)
			}
			_, err = other.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "fresh"})
			wantFault(t, err, tt.code)
			if list := databases(t, pg); fmt.Sprint(list) != "[source]" {
				t.Errorf("got databases %q", list)
			}
		})
	}
}

// killing kills Postgres when a restore is under way.
func killing(pg *localstack.Postgres) func(Progress) {
	killed := false
	return func(p Progress) {
		if p.Stage == Restoring && p.Bytes > 0 && !killed {
			killed = true
			pg.Kill()
		}
	}
}

// Postgres goes away in the middle and comes back: nothing is left in it, and what was there is.
func TestPostgresKilledMeanwhile(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	run(t, connect(t, url), `INSERT INTO items (text) SELECT repeat(md5(g::text), 20) FROM generate_series(1, 20000) g`)
	k, m := backedUp(t, Config{DatabaseURL: url})
	v, err := k.Verify(t.Context(), m.Name, killing(pg))
	if wantFault(t, err, DatabaseAway); v.State != Impossible {
		t.Errorf("got state %s, want that nothing was found out", v.State)
	}
	for _, o := range []RestoreOptions{{Database: "fresh"}, {Database: "source", Replace: true}} {
		if err := pg.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.Progress = killing(pg)
		_, err := k.Restore(t.Context(), o)
		wantFault(t, err, DatabaseAway)
	}
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := databases(t, pg); fmt.Sprint(list) != "[source]" || count(t, url, `SELECT count(*) FROM items`) != 20500 {
		t.Errorf("got databases %q", list)
	}
	if _, err := k.Verify(t.Context(), m.Name, nil); err != nil {
		t.Errorf("the next verification: %v", err)
	}
}

// What kill -9 leaves is removed by the next, which leaves alone what somebody works on.
func TestLeftoversOfKilledProcesses(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	run(t, connect(t, url), `INSERT INTO items (text) SELECT repeat(md5(g::text), 20) FROM generate_series(1, 20000) g`)
	k, m := backedUp(t, Config{DatabaseURL: url})
	super := connect(t, pg.SuperURL("postgres"))
	for _, name := range []string{"payaid_verify_notes", "shop_restoring_2026"} { // not ours
		run(t, super, `CREATE DATABASE `+name)
	}
	o := startOtherTo(t, Config{DatabaseURL: url, Dir: k.Dir}, Restoring)
	working := inTheMaking(t, pg.SuperURL("postgres"))
	if len(working) != 3 {
		t.Fatalf("got %q, want the database of the other process", working)
	}
	if _, err := k.Verify(t.Context(), m.Name, nil); err != nil {
		t.Fatal(err)
	}
	if now := inTheMaking(t, pg.SuperURL("postgres")); fmt.Sprint(now) != fmt.Sprint(working) {
		t.Fatalf("got %q, want %q: the other process is at work", now, working)
	}
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = o.cmd.Wait()
	// Its sessions end as soon as Postgres notices.
	eventually(t, "the next removes it", func() bool {
		if _, err := k.Verify(t.Context(), m.Name, nil); err != nil {
			t.Fatal(err)
		}
		return len(inTheMaking(t, pg.SuperURL("postgres"))) == 2
	})
	if list := databases(t, pg); fmt.Sprint(list) != "[payaid_verify_notes shop_restoring_2026 source]" {
		t.Errorf("got databases %q", list)
	}
}

// A disk that is too small is seen before anything is made; one that others fill meanwhile is a fault too.
func TestDiskOfPostgresFull(t *testing.T) {
	t.Parallel()
	disk := openDisk(t, "size=280m")
	dir := filepath.Join(disk, "postgres")
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	pg, err := localstack.StartPostgres(t.Context(), localstack.PostgresOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := pg.CreateDatabase(t.Context(), "source", ""); err != nil {
		t.Fatal(err)
	}
	fill(t, pg.URL("source"), 20_000)
	k, m := backedUp(t, Config{DatabaseURL: pg.SuperURL("source")})
	filler := filepath.Join(disk, "filler")
	leave := func(bytes int64) {
		free, err := freeBytes(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filler, make([]byte, max(0, free-bytes)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	filled := false
	_, err = k.Restore(t.Context(), RestoreOptions{Database: "fresh", Progress: func(p Progress) {
		if p.Stage == Restoring && p.Bytes > 0 && !filled {
			filled = true
			leave(2 << 20)
		}
	}})
	// Postgres itself stops when it is its log that finds no room.
	if f := faultIn(t, err); f.Code != DiskFull && f.Code != DatabaseAway || strings.Contains(f.Detail, "CONTEXT") {
		t.Errorf("got %s: %s", f.Code, f.Detail)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := pg.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	leave(20 << 20) // and what could not even be dropped is out of the way by the next
	_, err = k.Verify(t.Context(), m.Name, nil)
	wantFault(t, err, DiskFull)
	if list := databases(t, pg); fmt.Sprint(list) != "[source]" {
		t.Errorf("got databases %q", list)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(t.Context(), m.Name, nil); err != nil {
		t.Error(err)
	}
}

// openDisk is a small disk that other users may pass through, as Postgres is one.
func openDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small disk is mounted by root alone: run the tests as root to see what happens when one is full")
	}
	dir, err := os.MkdirTemp("", "payaid-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size+",mode=0711"); err != nil {
		t.Skipf("a small disk can't be mounted here (%v): run the tests where it can", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Backups are tried on a server that shares nothing with the database's, not even roles.
func TestVerifyElsewhere(t *testing.T) {
	t.Parallel()
	source, k, m := restorable(t)
	other := localstack.NewPostgres(t)
	k.VerifyURL = other.URL("postgres")
	if err := source.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := k.Verify(t.Context(), m.Name, nil); err != nil || v.Rows != m.Rows() {
		t.Fatalf("got %+v, %v", v, err)
	}
	if list := databases(t, other); len(list) > 0 {
		t.Errorf("left behind: %q", list)
	}
}

// Large archives are restored by several sessions from a file that nobody can find.
func TestRestoreBySeveralSessions(t *testing.T) {
	t.Parallel()
	pg, k, m := restorable(t)
	k.spreadFrom = 1
	watched := false
	_, err := k.Restore(t.Context(), RestoreOptions{Database: "fresh", Progress: func(p Progress) {
		if p.Stage == Restoring && p.Bytes == m.PlainBytes && !watched {
			watched = true
			if names, _ := filepath.Glob(filepath.Join(k.Dir, ".nameless*")); len(names) > 0 {
				t.Errorf("got %q in the folder", names)
			}
		}
	}})
	if err != nil || !watched {
		t.Fatal(err, watched)
	}
	if n := count(t, pg.URL("fresh"), `SELECT count(*) FROM items`); n != 500 {
		t.Errorf("got %d items", n)
	}
	spoil(t, k, m.File, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	_, err = k.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "again"})
	wantFault(t, err, Corrupted)
}

// The bucket alone is enough to verify and to restore.
func TestRestoreFromTheRemotePlace(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	server := newBucketServer(t)
	made, m := backedUp(t, Config{DatabaseURL: url, Remote: server.client(t)})
	mustCopy(t, made)
	k := newKeeper(t, Config{DatabaseURL: url, Dir: newFolder(t), Remote: server.client(t)})
	if v, err := k.Verify(t.Context(), Latest, nil); err != nil || v.Name != m.Name {
		t.Fatalf("got %+v, %v", v, err)
	}
	if list, err := k.List(t.Context()); err != nil || len(list) != 1 || !list[0].Verified() {
		t.Errorf("got %+v, %v; want it verified in the bucket", list, err)
	}
	fetched := false
	_, err := k.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "fresh", Progress: func(p Progress) { fetched = fetched || p.Stage == Fetching }})
	if err != nil || !fetched {
		t.Fatal(err, fetched)
	}
	// A file that is damaged here is had from there.
	spoil(t, made, m.File, func(b []byte) []byte { return b[:100] })
	if _, err := made.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "again"}); err != nil {
		t.Fatal(err)
	}
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, dumpEnding) {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
	_, err = k.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "third"})
	wantFault(t, err, RemoteFailed)
	server.behave()
	changed := flipped(server.stored(t, m.File))
	if err := k.Remote.Put(t.Context(), m.File, bytes.NewReader(changed), int64(len(changed)), hexSum(changed)); err != nil {
		t.Fatal(err)
	}
	_, err = k.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "third"})
	wantFault(t, err, Corrupted)
	if v, err := k.Verify(t.Context(), m.Name, nil); err == nil || v.State != Failed {
		t.Errorf("got %+v, %v of a damaged file", v, err)
	}
	if list, err := k.List(t.Context()); err != nil || len(list) != 1 || list[0].Verified() {
		t.Errorf("got %+v, %v; want it no longer verified", list, err)
	}
	if list := databases(t, pg); fmt.Sprint(list) != "[again fresh source]" {
		t.Errorf("got databases %q", list)
	}
	if names, _ := filepath.Glob(filepath.Join(os.TempDir(), ".nameless*")); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}
