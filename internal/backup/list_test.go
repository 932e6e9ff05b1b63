package backup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrokenBackups: none of them is shown as one that can be used, and each says why.
func TestBrokenBackups(t *testing.T) {
	t.Parallel()
	at := func(dir, name string) string { return filepath.Join(dir, name) }
	for name, c := range map[string]struct {
		harm func(t *testing.T, dir string, m Manifest)
		want string
	}{
		"the dump is shorter": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Truncate(at(dir, m.File), m.Bytes-1))
		}, Truncated},
		"the dump is empty": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Truncate(at(dir, m.File), 0))
		}, Truncated},
		"the dump is longer": {func(t *testing.T, dir string, m Manifest) {
			putFile(t, dir, m.File, "dump and more")
		}, Corrupted},
		"the dump is gone": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Remove(at(dir, m.File)))
		}, NotFound},
		"the dump is a link": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Remove(at(dir, m.File)))
			check(t, os.Symlink("/etc/passwd", at(dir, m.File)))
		}, Corrupted},
		"the manifest is gone": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Remove(at(dir, m.Name+manifestEnding)))
		}, ManifestInvalid},
		"the manifest is empty": {func(t *testing.T, dir string, m Manifest) {
			putFile(t, dir, m.Name+manifestEnding, "")
		}, ManifestInvalid},
		"the manifest is a link": {func(t *testing.T, dir string, m Manifest) {
			check(t, os.Rename(at(dir, m.Name+manifestEnding), at(filepath.Dir(dir), "elsewhere")))
			check(t, os.Symlink("../elsewhere", at(dir, m.Name+manifestEnding)))
		}, ManifestInvalid},
		"the manifest was edited": {func(t *testing.T, dir string, m Manifest) {
			raw, err := os.ReadFile(at(dir, m.Name+manifestEnding))
			check(t, err)
			putFile(t, dir, m.Name+manifestEnding, strings.Replace(string(raw), `"bytes": 4`, `"bytes": 3`, 1))
		}, ManifestInvalid},
		"the manifest is of another backup": {func(t *testing.T, dir string, m Manifest) {
			other := put(t, dir, today.AddDate(0, 0, -1), "dump")
			check(t, os.Rename(at(dir, other.Name+manifestEnding), at(dir, m.Name+manifestEnding)))
			check(t, os.Remove(at(dir, other.File)))
		}, ManifestInvalid},
		"the manifest leads out of the folder": {func(t *testing.T, dir string, m Manifest) {
			m.File = "../" + m.File
			text, err := encodeManifest(m)
			check(t, err)
			putFile(t, dir, m.Name+manifestEnding, string(text))
		}, ManifestInvalid},
		"the manifest is of a later format": {func(t *testing.T, dir string, m Manifest) {
			m.Format++
			text, err := encodeManifest(m)
			check(t, err)
			putFile(t, dir, m.Name+manifestEnding, string(text))
		}, ManifestInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := privateFolder(t)
			m := put(t, dir, today, "dump")
			c.harm(t, dir, m)
			k := newKeeper(t, Config{Dir: dir, Retention: Retention{Days: 1}})
			list, err := k.List(t.Context())
			check(t, err)
			if len(list) != 1 || list[0].Good() || list[0].Problem == nil {
				t.Fatalf("got %+v, want one entry with a problem", list)
			}
			wantFault(t, list[0].Problem, c.want)
			if removed, err := k.Retain(t.Context()); err != nil || len(removed) > 0 {
				t.Errorf("got %q removed (%v), want what can't be used to stay", removed, err)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestManifestHoldsEveryByte: whichever byte is changed, what is read is refused, or is what was written.
func TestManifestHoldsEveryByte(t *testing.T) {
	t.Parallel()
	m := Manifest{Format: manifestFormat, Name: "payaid_20260301_120000", File: "payaid_20260301_120000.dump.zst", Bytes: 7,
		Tables: []Table{{Name: "public.invoices", Rows: 12, Hash: "-77"}}, Roles: []string{"payaid_app"}}
	raw, err := encodeManifest(m)
	check(t, err)
	got, fault := decodeManifest(m.Name, raw)
	if fault != nil || got.Tables[0] != m.Tables[0] || got.Checksum == "" {
		t.Fatalf("got %+v (%v), want what was written", got, fault)
	}
	for i := range raw {
		for _, bit := range []byte{1, 2, 32} {
			changed := append([]byte{}, raw...)
			changed[i] ^= bit
			if _, fault := decodeManifest(m.Name, changed); fault == nil {
				t.Errorf("byte %d of %q changed by %d is not seen", i, raw[max(0, i-10):min(len(raw), i+10)], bit)
			}
		}
	}
	for i := range raw {
		if _, fault := decodeManifest(m.Name, raw[:i]); fault == nil {
			t.Errorf("the first %d bytes are taken for the whole", i)
		}
	}
}

// FuzzManifest: foreign bytes are refused, never worse.
func FuzzManifest(f *testing.F) {
	m := Manifest{Format: manifestFormat, Name: "payaid_20260301_120000", File: "payaid_20260301_120000.dump.zst"}
	raw, err := encodeManifest(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format": 1, "checksum": "x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, fault := decodeManifest(m.Name, raw)
		if fault == nil && (got.Name != m.Name || got.Format != manifestFormat) {
			t.Errorf("got %+v from %q", got, raw)
		}
	})
}

// TestVerificationOfAnotherDump: a verification counts for exactly the bytes that were verified.
func TestVerificationOfAnotherDump(t *testing.T) {
	t.Parallel()
	dir := privateFolder(t)
	m := put(t, dir, today, "dump")
	k := newKeeper(t, Config{Dir: dir})
	for sum, want := range map[string]bool{m.SHA256: true, "another": false} {
		text, err := json.Marshal(Verification{Name: m.Name, SHA256: sum, State: Passed})
		check(t, err)
		putFile(t, dir, m.Name+verificationEnding, string(text))
		list, err := k.List(t.Context())
		check(t, err)
		if list[0].Verified() != want {
			t.Errorf("verified is %v for sum %q, want %v", list[0].Verified(), sum, want)
		}
	}
}

// TestNoFolder: before the first backup there is none, and no error.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, Config{Dir: newFolder(t)})
	if list, err := k.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("got %v and %v, want no backups", list, err)
	}
}
