package jobs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// keepHouse is a run of the chore that the clock asks for.
func (v *vault) keepHouse() {
	v.t.Helper()
	v.must(jobs.KeepBackups(v.deps)(v.t.Context()))
}

// The manifests are the truth: what the table doesn't know is taken in, what somebody removed is deleted, and what was
// spoilt is no good any more.
func TestHistoryFollowsTheFolder(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.keepHouse() // before there is a folder
	k := v.keeper(v.url, v.dir)
	names := make([]string, 3)
	for i := range names {
		m, err := k.Make(t.Context(), backup.MakeOptions{}) // as a command does, or another database
		v.must(err)
		names[i] = m.Name
	}
	_, err := k.Verify(t.Context(), names[0], nil)
	v.must(err)
	v.keepHouse()
	v.wantRows("completed", "completed", "completed")
	if b, err := v.db.BackupNamed(t.Context(), names[0]); err != nil || b.VerifiedAt == nil || *b.RestoreSeconds <= 0 {
		t.Errorf("the verified one is %+v, %v", b, err)
	}
	v.wantFacts() // nothing happened to anything
	before, err := v.db.Backups(t.Context(), 9)
	v.must(err)
	v.keepHouse()
	after, err := v.db.Backups(t.Context(), 9)
	v.must(err)
	for i := range after {
		if after[i].Version != before[i].Version {
			t.Errorf("looking changed %s from version %d to %d", after[i].Name, before[i].Version, after[i].Version)
		}
	}
	files, err := filepath.Glob(filepath.Join(v.dir, names[1]+".*"))
	v.must(err)
	for _, f := range files {
		v.must(os.Remove(f))
	}
	v.must(os.Truncate(filepath.Join(v.dir, names[2]+".dump.zst"), 100))
	v.keepHouse()
	v.wantRows("completed", "deleted", "failed truncated")
	v.wantFacts("backup.failed backup truncated")
	v.exec(`DELETE FROM backups`) // a database that was restored knows nothing
	v.keepHouse()
	v.wantRows("completed")
}

// Another database keeps its backups in the same folder: they don't make this one look as if it were kept.
func TestHistoryIsOfOneDatabase(t *testing.T) {
	t.Parallel()
	v, other := newVault(t), newVault(t)
	m, err := v.keeper(other.url, v.dir).Make(t.Context(), backup.MakeOptions{})
	v.must(err)
	v.keepHouse()
	v.wantRows()
	v.keeps()
	if j := v.hurried(v.ask("db.backup_verify", `{}`), store.Failed); problemCode(j.Error) != "not_found" {
		t.Errorf("the other's backup %s is verified, or fails with %s", m.Name, j.Error)
	}
}

// A backup's own row is in its dump as one that is being made. Where it was restored, it is the backup that it is.
func TestRestoredHistoryKnowsItsBackup(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	stop := v.keeps()
	v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded)
	stop()
	v.exec(`UPDATE backups SET state = 'running', manifest = NULL, places = '{}', bytes = NULL, snapshot_at = NULL, updated_at = now() - interval '1 hour'`)
	v.keepHouse()
	v.wantRows("completed")
}

// What nobody makes any more is said to be lost, though no worker here has a folder.
func TestLostBackupIsNoticed(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.deps.Backing = jobs.Backing{}
	v.exec(`INSERT INTO backups (id, name, state, host, started_at, updated_at)
		VALUES (gen_random_uuid(), 'lost', 'running', 'x', now() - interval '1 hour', now() - interval '5 minutes'),
		       (gen_random_uuid(), 'alive', 'running', 'x', now() - interval '50 minutes', now())`)
	v.keepHouse()
	v.wantRows("failed worker_lost", "running")
	v.wantFacts("backup.failed backup worker_lost")
}

// pings are what a service heard that waits for backups.
type pings struct {
	mu    sync.Mutex
	paths []string
}

func (p *pings) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paths = append(p.paths, r.URL.Path)
}

func (p *pings) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.paths, " ")
}

// shelf is a second place in memory, which may be away.
type shelf struct {
	mu    sync.Mutex
	away  error
	files map[string][]byte
}

func (s *shelf) do(what func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	return what()
}

func (s *shelf) set(away error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// The second place is away when a backup is made: that is no fault of the backup, it is told, and made up for. Whoever
// waits for backups hears of each.
func TestSecondPlaceIsMadeUpFor(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	heard := &pings{}
	service := httptest.NewServer(heard)
	t.Cleanup(service.Close)
	second := &shelf{files: make(map[string][]byte)}
	k := v.keeper(v.url, v.dir)
	k.Remote, k.PingURL = second, service.URL+"/0197"
	v.deps.Backing.Keeper = k
	v.keeps()
	second.set(&backup.Fault{Code: backup.RemoteFailed, Detail: "S3 is away", Remedy: "look at it"})
	j := v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded)
	out := output[struct {
		Places    []string
		NotCopied *string `json:"not_copied"`
	}](v, j)
	if !slices.Equal(out.Places, []string{"folder"}) || out.NotCopied == nil || *out.NotCopied != "S3 is away. What to do: Look at it." {
		t.Errorf("output %s", j.Output)
	}
	second.set(nil)
	v.keepHouse()
	b, err := v.db.BackupNamed(t.Context(), "")
	v.must(err)
	if !slices.Equal(b.Places, []string{"folder", "remote"}) {
		t.Errorf("it is in %q", b.Places)
	}
	v.ends(v.ask("db.backup_verify", `{}`), store.Succeeded)
	second.mu.Lock()
	if second.files[b.Name+".verification.json"] == nil {
		t.Error("what came of the verification is not in the second place")
	}
	second.mu.Unlock()
	v.spoil(b.Name)
	if j := v.hurried(v.ask("db.backup_verify", `{}`), store.Failed); problemCode(j.Error) != "corrupted" {
		t.Errorf("a spoilt backup fails with %s", j.Error)
	}
	if got := heard.heard(); got != "/0197 /0197 /0197/fail" {
		t.Errorf("the service heard %q", got)
	}
	v.wantFacts("backup.completed", "backup.verified", "backup.failed verification corrupted")
	if b, err := v.db.BackupNamed(t.Context(), ""); err != nil || b.VerifiedAt != nil {
		t.Errorf("the spoilt one is %+v, %v", b, err)
	}
	// The folder is gone: the second place has all that it takes.
	v.must(os.RemoveAll(v.dir))
	v.hurried(v.ask("db.backup_verify", `{"name":"`+b.Name+`"}`), store.Succeeded)
}

// spoil changes a byte of a dump.
func (v *vault) spoil(name string) {
	v.t.Helper()
	path := filepath.Join(v.dir, name+".dump.zst")
	text, err := os.ReadFile(path)
	v.must(err)
	text[len(text)/2] ^= 1
	v.must(os.WriteFile(path, text, 0o600))
}

// Backups that fail keep those that there are, however long it goes on.
func TestFailingDaysRemoveNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	k := v.keeper(v.url, v.dir)
	k.Retention = backup.Retention{Daily: 1}
	v.deps.Backing.Keeper = k
	stop := v.keeps()
	first := output[made](v, v.ends(v.ask("db.backup", `{}`), store.Succeeded))
	v.appears(first.Verification.JobID)
	v.ends(first.Verification.JobID, store.Succeeded)
	stop()
	script := filepath.Join(v.binaries, "pg_dump")
	good, err := os.ReadFile(script)
	v.must(err)
	v.must(os.Remove(script))
	v.keeps()
	for range 40 {
		v.ends(v.ask("db.backup", `{}`), store.Failed)
	}
	if list, err := k.List(context.WithoutCancel(t.Context())); err != nil || len(list) != 1 || !list[0].Verified() {
		t.Fatalf("after 40 failures: %+v, %v", list, err)
	}
	// The next good one is the newest, and not verified: the one that was stays beside it.
	v.must(os.WriteFile(script, good, 0o755))
	second := output[made](v, v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded))
	third := output[made](v, v.ends(v.ask("db.backup", `{"verify":false}`), store.Succeeded))
	if len(second.Removed) != 0 || !slices.Equal(third.Removed, []string{second.Name}) {
		t.Errorf("removed %q and %q, want the one between", second.Removed, third.Removed)
	}
}
