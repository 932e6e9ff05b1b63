package backup

import (
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
	latest := func(fits func(Entry) bool) string {
		t.Helper()
		name, err := k.newest(t.Context(), fits)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, bad := lay(t, k, day(1), "one"), lay(t, k, day(2), "two")
	if got := latest(sound); got != bad.Name {
		t.Errorf("got %s, want the newest, which nobody tried", got)
	}
	layVerification(t, k, bad, Failed)
	if got := latest(sound); got != good.Name {
		t.Errorf("got %s to restore, which is no good", got)
	}
	if got := latest(anyGood); got != bad.Name {
		t.Errorf("got %s to verify, want the newest", got)
	}
	layVerification(t, k, good, Failed)
	if got := latest(sound); got != bad.Name {
		t.Errorf("got %s, want the newest where all are no good", got)
	}
	rewrite(t, k, lay(t, k, day(3), "three"), func(m *Manifest) { m.Database = "another" })
	if got := latest(anyGood); got != bad.Name {
		t.Errorf("got %s, of another database", got)
	}
	k.DatabaseURL = "postgres://payaid@127.0.0.1/postgres"
	_, err := k.newest(t.Context(), anyGood)
	wantFault(t, err, NotFound)
}
