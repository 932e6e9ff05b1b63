package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// fill makes two tables worth of dumping.
func fill(t *testing.T, url string, rows int) {
	t.Helper()
	conn := connect(t, url)
	run(t, conn, `CREATE TABLE items (id bigserial PRIMARY KEY, text text, at timestamptz DEFAULT now())`)
	run(t, conn, `INSERT INTO items (text) SELECT md5(g::text) || repeat(md5((g+1)::text), 3) FROM generate_series(1, $1::int) g`, rows)
	run(t, conn, `CREATE TABLE "Odd ""name" (a int, b jsonb)`)
	run(t, conn, `INSERT INTO "Odd ""name" VALUES (1, '{"x": 1}'), (1, '{"x": 1}'), (NULL, NULL)`)
}

func TestBackup(t *testing.T) {
	t.Parallel()
	url, dir := newDatabase(t), newFolder(t)
	fill(t, url, 2000)
	k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
	var stages []string
	m, err := k.Make(t.Context(), MakeOptions{JobID: "the-job", Progress: func(p Progress) { stages = append(stages, p.Stage) }})
	if err != nil {
		t.Fatal(err)
	}
	if m.JobID != "the-job" || m.ServerMajor < 15 || m.LSN == "" || m.SchemaVersion < 39 || m.RiverVersion == 0 || m.Encrypted() {
		t.Errorf("got manifest %+v", m)
	}
	if !slices.Contains(m.Roles, "payaid_app") || !slices.Contains(m.Roles, "payaid") {
		t.Errorf("got roles %q, want those that policies and grants name", m.Roles)
	}
	if !slices.Contains(stages, Waiting) || !slices.Contains(stages, Dumping) {
		t.Errorf("got stages %q", stages)
	}
	rows := make(map[string]Table)
	for _, table := range m.Tables {
		rows[table.Name] = table
	}
	if got := rows["public.items"]; got.Rows != 2000 || !strings.HasPrefix(got.Hash, "record:") {
		t.Errorf("got %+v for items, want 2000 rows and a hash", got)
	}
	if got := rows[`public."Odd ""name"`]; got.Rows != 3 {
		t.Errorf("got %+v for the table with the odd name, want 3 rows", got)
	}
	if i := slices.IndexFunc(m.Sequences, func(s Sequence) bool { return s.Name == "public.items_id_seq" }); i < 0 || m.Sequences[i].Last != 2000 {
		t.Errorf("got sequences %+v, want items_id_seq at 2000", m.Sequences)
	}
	list, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || !list[0].Good() || list[0].Verified() || list[0].Manifest.SHA256 != m.SHA256 {
		t.Fatalf("got list %+v, want the backup alone, good and not yet verified", list)
	}
	checkFiles(t, dir, m)
	archive := unpack(t, dir, m)
	if !strings.Contains(listArchive(t, k, m, archive), "TABLE DATA public items") {
		t.Error("the archive has no data of items")
	}
}

// checkFiles wants the backup's files for us alone, as the manifest says, and nothing besides.
func checkFiles(t *testing.T, dir string, m Manifest) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", file.Name(), info.Mode().Perm())
		}
		names = append(names, file.Name())
	}
	if want := []string{lockName, m.File, m.Name + manifestEnding}; !slices.Equal(names, want) {
		t.Errorf("got files %q, want %q", names, want)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v (%v), want 0700", info.Mode(), err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != m.SHA256 || int64(len(raw)) != m.Bytes {
		t.Errorf("the file has %d bytes and sum %x, the manifest says %d and %s", len(raw), sum, m.Bytes, m.SHA256)
	}
}

// unpack gives pg_dump's archive, and checks its sum.
func unpack(t *testing.T, dir string, m Manifest, keys ...age.Identity) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var from io.Reader = file
	if len(keys) > 0 {
		if from, err = age.Decrypt(file, keys...); err != nil {
			t.Fatal(err)
		}
	}
	z, err := zstd.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != m.PlainSHA256 || int64(len(plain)) != m.PlainBytes {
		t.Errorf("the archive has %d bytes and sum %x, the manifest says %d and %s", len(plain), sum, m.PlainBytes, m.PlainSHA256)
	}
	return plain
}

func listArchive(t *testing.T, k *Keeper, m Manifest, archive []byte) string {
	t.Helper()
	c, err := findClient(t.Context(), k.Binaries, m.ServerMajor, "pg_restore")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), c.path("pg_restore"), "--list")
	list.Stdin = bytes.NewReader(archive)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the archive: %v", err)
	}
	return string(out)
}

func TestBackupIsEncrypted(t *testing.T) {
	t.Parallel()
	url, dir := newDatabase(t), newFolder(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(t, Config{DatabaseURL: url, Dir: dir, Recipients: []string{key.Recipient().String()}})
	m, err := k.Make(t.Context(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Encrypted() || !strings.HasSuffix(m.File, ".dump.zst.age") {
		t.Errorf("got file %s of recipients %q, want an encrypted one", m.File, m.Recipients)
	}
	checkFiles(t, dir, m)
	unpack(t, dir, m, key)
	raw, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zstd.NewReader(bytes.NewReader(raw)); err == nil && bytes.Contains(raw, []byte("PGDMP")) {
		t.Error("the file can be read without the key")
	}
}

// TestSnapshotIsCounted: writers go on, and what is counted is what is dumped.
func TestSnapshotIsCounted(t *testing.T) {
	t.Parallel()
	url, dir := newDatabase(t), newFolder(t)
	fill(t, url, 3000)
	writer := connect(t, url)
	wrote := 0
	k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
	m, err := k.Make(t.Context(), MakeOptions{Progress: func(p Progress) {
		if p.Stage == Dumping && wrote == 0 {
			wrote++
			run(t, writer, `INSERT INTO items (text) SELECT 'later' FROM generate_series(1, 500)`)
			run(t, writer, `DELETE FROM items WHERE id <= 100`)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if wrote == 0 {
		t.Fatal("nothing was written during the dump")
	}
	i := slices.IndexFunc(m.Tables, func(t Table) bool { return t.Name == "public.items" })
	if got := m.Tables[i].Rows; got != 3000 {
		t.Errorf("got %d rows, want the 3000 of the snapshot", got)
	}
	if archive := unpack(t, dir, m); bytes.Contains(archive, []byte("\tlater\t")) {
		t.Error("the archive holds rows that were written after the snapshot")
	}
}

// TestSameSecond: a clock that stands or goes back neither overwrites a backup nor stops one from being made.
func TestSameSecond(t *testing.T) {
	t.Parallel()
	url, dir := newDatabase(t), newFolder(t)
	k := newKeeper(t, Config{DatabaseURL: url, Dir: dir})
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var names []string
	for _, now := range []time.Time{noon, noon, noon.Add(-time.Hour), noon.Add(time.Second)} {
		k.now = func() time.Time { return now }
		m, err := k.Make(t.Context(), MakeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.Name)
	}
	want := []string{"payaid_20260301_120000", "payaid_20260301_120001", "payaid_20260301_110000", "payaid_20260301_120002"}
	if !slices.Equal(names, want) {
		t.Errorf("got names %q, want %q", names, want)
	}
	list, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !e.Good() {
			t.Errorf("%s has problem %v", e.Name, e.Problem)
		}
	}
	if len(list) != 4 {
		t.Errorf("got %d backups, want 4", len(list))
	}
}
