package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// history is the table of backups in a test's own database.
type history struct {
	*testing.T
	db *store.DB
}

func newHistory(t *testing.T) history {
	return history{t, open(t, newDatabase(t), store.System)}
}

func (h history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h history) tx(do func(pgx.Tx) error) {
	h.Helper()
	h.must(h.db.Tx(h.Context(), do))
}

func (h history) begin(name, job string) (id string) {
	h.Helper()
	b := store.Backup{ID: outbox.NewID(), Name: name, Host: "one", StartedAt: time.Now().Add(-time.Minute)}
	if job != "" {
		b.JobID = &job
	}
	if begun, err := store.BeginBackup(h.Context(), h.db.Pool(), b); err != nil || !begun {
		h.Fatalf("begun %v, %v", begun, err)
	}
	return b.ID
}

func (h history) complete(id, name, host string, places ...string) (version int64) {
	h.Helper()
	at, bytes := time.Now().UTC().Truncate(time.Second), int64(212)
	h.tx(func(tx pgx.Tx) (err error) {
		version, err = store.CompleteBackup(h.Context(), tx, store.Backup{ID: id, Name: name, Host: host, Places: places,
			Manifest: json.RawMessage(`{"name":"` + name + `"}`), StartedAt: at.Add(-time.Minute), SnapshotAt: &at, FinishedAt: &at, Bytes: &bytes}, slices.Contains(places, "remote"))
		return err
	})
	return version
}

func (h history) named(name string) store.Backup {
	h.Helper()
	b, err := h.db.BackupNamed(h.Context(), name)
	h.must(err)
	return b
}

func (h history) lose(job string, silence time.Duration) []store.Backup {
	h.Helper()
	var lost []store.Backup
	h.tx(func(tx pgx.Tx) (err error) {
		lost, err = store.LoseBackups(h.Context(), tx, job, silence, json.RawMessage(`{"code":"worker_lost"}`))
		return err
	})
	return lost
}

func TestBackupFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	if _, err := h.db.BackupNamed(t.Context(), ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the newest of none: %v", err)
	}
	if s, err := h.db.BackupStanding(t.Context()); err != nil || s != (store.BackupStanding{}) {
		t.Errorf("standing of none: %+v, %v", s, err)
	}
	id := h.begin("a", "")
	if b := h.named("a"); b.State != store.BackupRunning || b.Version != 1 {
		t.Errorf("begun: %+v", b)
	}
	if v := h.complete(id, "a", "one", "folder"); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
	if v := h.complete(id, "a", "one", "folder"); v != 0 {
		t.Errorf("what was known has version %d, want 0", v)
	}
	if v := h.complete(id, "a", "one", "folder", "remote"); v != 3 {
		t.Errorf("a new place has version %d, want 3", v)
	}
	at, seconds := time.Now().UTC().Truncate(time.Second), 12.5
	passed := store.TriedBackup{ID: id, Verification: json.RawMessage(`{"state":"passed"}`), VerifiedAt: &at, RestoreSeconds: &seconds}
	undecided := store.TriedBackup{ID: id, Verification: json.RawMessage(`{"state":"impossible"}`), Undecided: true}
	for i, tried := range []store.TriedBackup{passed, passed, undecided} {
		h.tx(func(tx pgx.Tx) error {
			v, err := store.VerifyBackup(t.Context(), tx, tried)
			if want := []int64{4, 0, 5}[i]; v != want {
				t.Errorf("try %d has version %d, want %d", i, v, want)
			}
			return err
		})
	}
	s, err := h.db.BackupStanding(t.Context())
	h.must(err)
	if s.LastVerifiedAt == nil || !s.VerifiedAt.Equal(at) || *s.RestoreSeconds != 12.5 || *s.LastGoodBytes != 212 || s.Completed != 1 {
		t.Errorf("standing %+v", s)
	}
	h.must(store.MissBackups(t.Context(), h.db.Pool(), store.Look{Began: time.Now().Add(time.Minute), Host: "one", Remote: true, Names: []string{"unknown"}}))
	if b := h.named("a"); b.State != store.BackupDeleted || len(b.Places) != 0 {
		t.Errorf("deleted: %+v", b)
	}
	if s, err := h.db.BackupStanding(t.Context()); err != nil || s.LastGoodAt != nil || s.LastVerifiedAt != nil {
		t.Errorf("standing after the last was deleted: %+v, %v", s, err)
	}
}

// What died while it made a backup must not leave it running for ever, and what lives must not lose its own.
func TestLostBackups(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	mine, others := outbox.NewID(), outbox.NewID()
	h.begin("mine", mine)
	h.begin("others", others)
	h.begin("by hand", "")
	if lost := h.lose("", time.Hour); len(lost) != 0 {
		t.Errorf("lost %+v, want none", lost)
	}
	if lost := h.lose(mine, time.Hour); len(lost) != 1 || lost[0].Name != "mine" || lost[0].State != store.BackupFailed || lost[0].Version != 2 {
		t.Errorf("lost %+v, want the job's own", lost)
	}
	if _, err := h.db.Pool().Exec(t.Context(), `UPDATE backups SET updated_at = now() - interval '2 minutes'`); err != nil {
		t.Fatal(err)
	}
	h.must(store.BeatBackup(t.Context(), h.db.Pool(), h.named("others").ID))
	if lost := h.lose("", time.Minute); len(lost) != 1 || lost[0].Name != "by hand" {
		t.Errorf("lost %+v, want the silent one", lost)
	}
	// Whoever was taken for dead comes back with a file after all.
	if v := h.complete(h.named("mine").ID, "mine", "one", "folder"); v != 3 || h.named("mine").Error != nil {
		t.Errorf("version %d, %+v", v, h.named("mine"))
	}
}

func TestBackupsThatAreGone(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for name, places := range map[string][]string{"both": {"folder", "remote"}, "here": {"folder"}, "far": {"remote"}, "kept": {"folder"}} {
		h.complete(outbox.NewID(), name, "one", places...)
	}
	h.complete(outbox.NewID(), "elsewhere", "two", "folder")
	later := time.Now().Add(time.Hour)
	states := func() (list []string) {
		all, err := h.db.Backups(t.Context(), 100)
		h.must(err)
		for _, b := range all {
			line := b.Name + " " + b.State
			for _, p := range b.Places {
				line += " " + p
			}
			list = append(list, line)
		}
		slices.Sort(list)
		return list
	}
	look := func(l store.Look, want ...string) {
		t.Helper()
		h.must(store.MissBackups(t.Context(), h.db.Pool(), l))
		if got := states(); !slices.Equal(got, want) {
			t.Errorf("after %+v:\n%q, want\n%q", l, got, want)
		}
	}
	all := []string{"both completed folder remote", "elsewhere completed folder", "far completed remote", "here completed folder", "kept completed folder"}
	look(store.Look{Began: time.Now().Add(-time.Hour), Host: "one", Remote: true}, all...) // they came later
	look(store.Look{Began: later, Host: "three"}, all...)
	look(store.Look{Began: later, Host: "one", Names: []string{"kept"}},
		"both completed remote", "elsewhere completed folder", "far completed remote", "here deleted", "kept completed folder")
	look(store.Look{Began: later, Host: "one", Remote: true, Names: []string{"kept", "far"}},
		"both deleted", "elsewhere completed folder", "far completed remote", "here deleted", "kept completed folder")
	// Whoever sees the remote place alone knows nothing of the folder, and the other way round.
	h.complete(h.named("elsewhere").ID, "elsewhere", "one", "remote")
	look(store.Look{}, "both deleted", "elsewhere completed folder remote", "far completed remote", "here deleted", "kept completed folder")
	h.complete(h.named("far").ID, "far", "one", "folder")
	look(store.Look{}, "both deleted", "elsewhere completed folder remote", "far completed folder remote", "here deleted", "kept completed folder")
	if b := h.named("elsewhere"); b.Host != "two" {
		t.Errorf("elsewhere is in the folder of %s, want two", b.Host)
	}
	h.tx(func(tx pgx.Tx) error {
		spoilt, err := store.SpoilBackup(t.Context(), tx, "kept", json.RawMessage(`{"code":"manifest_invalid"}`))
		if len(spoilt) != 1 {
			t.Errorf("spoilt %+v", spoilt)
		}
		return err
	})
	// It is found again, and another host has the folder now.
	h.complete(h.named("here").ID, "here", "two", "folder")
	look(store.Look{Began: later, Host: "one", Names: []string{"kept", "far"}},
		"both deleted", "elsewhere completed folder remote", "far completed folder remote", "here completed folder", "kept failed folder")
}

// A name that a try without a file had is free for the file that has it.
func TestNameOfABackup(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	failed := h.begin("a", "")
	h.lose("", 0)
	if begun, err := store.BeginBackup(t.Context(), h.db.Pool(), store.Backup{ID: outbox.NewID(), Name: "a", StartedAt: time.Now()}); err != nil || begun {
		t.Errorf("begun %v, %v; want neither", begun, err)
	}
	id := outbox.NewID()
	h.complete(id, "a", "one", "folder")
	if b := h.named("a"); b.ID != id {
		t.Errorf("a is %s, want %s", b.ID, id)
	}
	if b := h.named("a#" + failed); b.State != store.BackupFailed {
		t.Errorf("the try is %+v", b)
	}
	running := h.begin("b", "")
	h.must(store.ForgetBackup(t.Context(), h.db.Pool(), running))
	if _, err := h.db.BackupNamed(t.Context(), "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgotten: %v", err)
	}
}
