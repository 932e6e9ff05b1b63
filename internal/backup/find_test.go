package backup

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The disk spoils a file whose copy is whole: what is restored is the copy, and it isn't said to be no good.
func TestRestoreFromTheOtherCopy(t *testing.T) {
	t.Parallel()
	pg, k, m := restorable(t)
	server := newBucketServer(t)
	k.Remote = server.client(t)
	mustCopy(t, k)
	spoil(t, k, m.File, func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw })
	_, err := k.Verify(t.Context(), m.Name, nil)
	wantFault(t, err, Corrupted)
	mustCopy(t, k)
	if got := inBucket(t, server); slices.ContainsFunc(got, func(name string) bool { return strings.HasSuffix(name, verificationEnding) }) {
		t.Errorf("the bucket has %v: what was found out about the folder's file", got)
	}
	done, err := k.Restore(t.Context(), RestoreOptions{Database: "copy"})
	if err != nil || done.Manifest.ID != m.ID {
		t.Fatalf("got %+v, %v", done, err)
	}
	if n := count(t, pg.URL("copy"), `SELECT count(*) FROM items`); n != 500 {
		t.Errorf("got %d rows", n)
	}
	// Spoilt there as well, it is refused for what is wrong here.
	raw := strings.Repeat("x", int(m.Bytes))
	if err := k.Remote.Put(t.Context(), m.File, strings.NewReader(raw), m.Bytes, sumOf([]byte(raw))); err != nil {
		t.Fatal(err)
	}
	_, err = k.Restore(t.Context(), RestoreOptions{Database: "another"})
	wantFault(t, err, Corrupted)
}

// The newest is that of one's own database, and to restore from one that nobody found to be no good.
func TestLatest(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, Config{Dir: privateFolder(t), DatabaseURL: "postgres://payaid@127.0.0.1/payaid"})
	toRestore := func() (name, passed string) {
		t.Helper()
		name, list, err := k.newestSound(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			passed += o.Name + " " + o.Why + "\n"
		}
		return name, passed
	}
	toTry := func(want, what string) {
		t.Helper()
		if got, err := k.newest(t.Context()); err != nil || got != want {
			t.Errorf("got %s, %v to verify, want %s", got, err, what)
		}
	}
	good, bad := lay(t, k, day(1), "one"), lay(t, k, day(2), "two")
	if got, passed := toRestore(); got != bad.Name || passed != "" {
		t.Errorf("got %s over %q, want the newest, which nobody tried", got, passed)
	}
	layVerification(t, k, bad, Failed)
	if got, passed := toRestore(); got != good.Name || !strings.HasPrefix(passed, bad.Name+" tried at 2") || strings.Count(passed, "\n") != 1 {
		t.Errorf("got %s to restore, over %q", got, passed)
	}
	toTry(bad.Name, "the newest")
	// What can't be restored at a glance is named as well, and what is older is not.
	short := lay(t, k, day(3), "three")
	spoil(t, k, short.File, func(raw []byte) []byte { return raw[:1] })
	putFile(t, k.Dir, day(4).Format(nameLayout)+dumpEnding, "without a manifest")
	putFile(t, k.Dir, day(0).Format(nameLayout)+dumpEnding, "long ago")
	got, passed := toRestore()
	if lines := strings.Split(strings.TrimSpace(passed), "\n"); got != good.Name || len(lines) != 3 ||
		!strings.Contains(lines[0], "no manifest") || !strings.Contains(lines[1], "has 1 bytes") || !strings.HasPrefix(lines[2], bad.Name) {
		t.Errorf("got %s to restore, over %q", got, passed)
	}
	rewrite(t, k, lay(t, k, day(5), "five"), func(m *Manifest) { m.Database = "another" })
	toTry(bad.Name, "none of another database")
	if got, again := toRestore(); got != good.Name || again != passed {
		t.Errorf("got %s over %q, want nothing of another database", got, again)
	}
	layVerification(t, k, good, Failed)
	_, _, err := k.newestSound(t.Context())
	if f := wantFault(t, err, NotFound); !strings.Contains(f.Detail, bad.Name) || !strings.Contains(f.Remedy, "name it") {
		t.Errorf("got %s: %s", f.Detail, f.Remedy)
	}
	k.DatabaseURL = "postgres://payaid@127.0.0.1/postgres"
	_, err = k.newest(t.Context())
	wantFault(t, err, NotFound)
}

// One that was tried and is no good is restored when somebody insists, who is told.
func TestRestoreOfADoubtfulOne(t *testing.T) {
	t.Parallel()
	_, k, m := restorable(t)
	for _, o := range []RestoreOptions{{Name: m.Name}, {Path: filepath.Join(k.Dir, m.File)}, {}} {
		o.Database = "copy"
		if plan, err := k.PlanRestore(t.Context(), o); err != nil || plan.Doubt != "" || len(plan.PassedOver) > 0 {
			t.Errorf("got %+v, %v before anybody tried", plan, err)
		}
	}
	layVerification(t, k, m, Failed)
	for _, o := range []RestoreOptions{{Name: m.Name}, {Path: filepath.Join(k.Dir, m.File)}} {
		o.Database = "copy"
		if plan, err := k.PlanRestore(t.Context(), o); err != nil || !strings.HasPrefix(plan.Doubt, "tried at ") {
			t.Errorf("got %q, %v", plan.Doubt, err)
		}
	}
	_, err := k.Restore(t.Context(), RestoreOptions{Database: "copy"})
	wantFault(t, err, NotFound)
	if done, err := k.Restore(t.Context(), RestoreOptions{Name: m.Name, Database: "copy"}); err != nil || done.Manifest.ID != m.ID {
		t.Errorf("got %+v, %v", done, err)
	}
}
