package backup

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/payaid/payaid/internal/localstack"
)

// backedUp makes a backup of a small database, in a folder of its own.
func backedUp(t *testing.T, c Config) (*Keeper, Manifest) {
	t.Helper()
	if c.DatabaseURL == "" {
		c.DatabaseURL = newDatabase(t)
		fill(t, c.DatabaseURL, 500)
	}
	c.Dir = newFolder(t)
	k := newKeeper(t, c)
	m, err := k.Make(t.Context(), MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return k, m
}

// inTheMaking lists databases of verifications and restores that are on the server, of others too.
func inTheMaking(t *testing.T, url string) (list []string) {
	t.Helper()
	rows, err := connect(t, url).Query(t.Context(), listDatabases)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		list = append(list, name)
	}
	return list
}

// A private server shows what a test leaves behind.
func newServer(t *testing.T) (*localstack.Postgres, string) {
	t.Helper()
	pg := localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "source", ""); err != nil {
		t.Fatal(err)
	}
	url := pg.URL("source")
	fill(t, url, 500)
	return pg, url
}

func TestVerify(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"plain":     {},
		"encrypted": {Recipients: []string{identity.Recipient().String()}, Identities: []string{identity.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, m := backedUp(t, c)
			stages := make(map[string]bool)
			v, err := k.Verify(t.Context(), "", func(p Progress) { stages[p.Stage] = true })
			if err != nil {
				t.Fatal(err)
			}
			if v.State != Passed || v.Name != m.Name || v.SHA256 != m.SHA256 || v.Tables != len(m.Tables) || v.Rows != m.Rows() || v.RestoreSeconds <= 0 {
				t.Errorf("got %+v, want all %d tables with %d rows", v, len(m.Tables), m.Rows())
			}
			if !strings.Contains(v.Detail, "amcheck") || v.IndexesChecked != 0 {
				t.Errorf("got %q and %d indexes, want to hear that a login that is no superuser checks none", v.Detail, v.IndexesChecked)
			}
			if !stages[Checking] || !stages[Restoring] || !stages[Comparing] {
				t.Errorf("got stages %v", stages)
			}
			list, err := k.List(t.Context())
			if err != nil || len(list) != 1 || !list[0].Verified() {
				t.Errorf("got list %+v, %v; want the backup verified", list, err)
			}
		})
	}
}

// A superuser has the inside of every index looked at.
func TestVerifyLooksIntoIndexes(t *testing.T) {
	t.Parallel()
	pg, _ := newServer(t)
	k, _ := backedUp(t, Config{DatabaseURL: pg.SuperURL("source")})
	v, err := k.Verify(t.Context(), Latest, nil)
	if err != nil || v.IndexesChecked == 0 || v.Detail != "" {
		t.Fatalf("got %+v, %v; want indexes checked", v, err)
	}
	if left := inTheMaking(t, pg.SuperURL("postgres")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What is written while a backup is made is in it whole or not at all, and never a difference.
func TestVerifyBesideWriters(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	fill(t, url, 2000)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	for range 3 {
		conn := connect(t, url)
		go func() {
			n := 0
			for ; ctx.Err() == nil; n++ {
				if _, err := conn.Exec(ctx, `WITH gone AS (DELETE FROM items WHERE id IN (SELECT id FROM items LIMIT 1 FOR UPDATE SKIP LOCKED))
					INSERT INTO items (text) VALUES ('one'), ('two')`); err != nil && ctx.Err() == nil {
					t.Error(err)
					break
				}
			}
			done <- n
		}()
	}
	k, m := backedUp(t, Config{DatabaseURL: url})
	stop()
	written := 0
	for range 3 {
		written += <-done
	}
	if written == 0 {
		t.Fatal("nothing was written meanwhile")
	}
	v, err := k.Verify(t.Context(), m.Name, nil)
	if err != nil || v.Rows != m.Rows() {
		t.Fatalf("got %+v, %v; want the %d rows of the snapshot", v, err, m.Rows())
	}
	t.Logf("%d transactions beside the backup of %d rows", written, m.Rows())
}

// spoil changes a file in a folder of backups.
func spoil(t *testing.T, k *Keeper, file string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(k.Dir, file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes a manifest as someone would who knows how it is signed.
func rewrite(t *testing.T, k *Keeper, m Manifest, change func(*Manifest)) {
	t.Helper()
	change(&m)
	raw, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, k, m.Name+manifestEnding, func([]byte) []byte { return raw })
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pg, url := newServer(t)
	sealed := Config{DatabaseURL: url, Recipients: []string{identity.Recipient().String()}, Identities: []string{identity.String()}}
	flip := func(at func(n int) int) func(*testing.T, *Keeper, Manifest) {
		return func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.File, func(b []byte) []byte { b[at(len(b))] ^= 0x10; return b })
		}
	}
	table := func(change func(*Table)) func(*testing.T, *Keeper, Manifest) {
		return func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { change(&m.Tables[len(m.Tables)-1]) })
		}
	}
	for _, tt := range []struct {
		what, code, state string
		harm              func(*testing.T, *Keeper, Manifest)
		config            Config
	}{
		{what: "a flipped bit at the beginning", code: Corrupted, state: Failed, harm: flip(func(int) int { return 0 })},
		{what: "a flipped bit in the middle", code: Corrupted, state: Failed, harm: flip(func(n int) int { return n / 2 })},
		{what: "a flipped bit at the end", code: Corrupted, state: Failed, harm: flip(func(n int) int { return n - 1 })},
		{what: "a flipped bit in the header of what is encrypted", code: Corrupted, state: Failed, harm: flip(func(int) int { return 30 }), config: sealed},
		{what: "a flipped bit in what is encrypted", code: Corrupted, state: Failed, harm: flip(func(n int) int { return n * 2 / 3 }), config: sealed},
		{what: "a file cut short", code: Truncated, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.File, func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{what: "an empty file", code: Truncated, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.File, func([]byte) []byte { return nil })
		}},
		{what: "a file that goes on", code: Corrupted, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.File, func(b []byte) []byte { return append(b, 0) })
		}},
		{what: "a dump that is gone", code: NotFound, harm: func(t *testing.T, k *Keeper, m Manifest) {
			if err := os.Remove(filepath.Join(k.Dir, m.File)); err != nil {
				t.Fatal(err)
			}
		}},
		{what: "a changed manifest", code: ManifestInvalid, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.Name+manifestEnding, func(b []byte) []byte {
				return []byte(strings.Replace(string(b), `"rows": 500`, `"rows": 501`, 1))
			})
		}},
		{what: "half a manifest", code: ManifestInvalid, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			spoil(t, k, m.Name+manifestEnding, func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{what: "the dump of another backup", code: Corrupted, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			other, n := backedUp(t, Config{})
			raw, err := os.ReadFile(filepath.Join(other.Dir, n.File))
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, k, m, func(m *Manifest) { m.Bytes = int64(len(raw)) })
			spoil(t, k, m.File, func([]byte) []byte { return raw })
		}},
		{what: "a count that was made up", code: Different, state: Failed, harm: table(func(t *Table) { t.Rows++ })},
		{what: "contents that were made up", code: Different, state: Failed, harm: table(func(t *Table) { t.Hash = "1" + t.Hash })},
		{what: "a table that is not in the dump", code: Different, state: Failed, harm: table(func(t *Table) { t.Name = "public.ghost" })},
		{what: "a sequence that stood further", code: Different, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { m.Sequences[0].Last += 1000 })
		}},
		{what: "another migration", code: Different, state: Failed, harm: func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { m.SchemaVersion++ })
		}},
		{what: "an extension that the server lacks", code: CannotRestore, state: Impossible, harm: func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { m.Extensions = append(m.Extensions, Extension{"postgis", "3.3"}) })
		}},
		{what: "a newer server's dump", code: CannotRestore, state: Impossible, harm: func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { m.ServerMajor = 99 })
		}},
		{what: "a locale that the server lacks", code: CannotRestore, state: Impossible, harm: func(t *testing.T, k *Keeper, m Manifest) {
			rewrite(t, k, m, func(m *Manifest) { m.Collate = "tlh_KX.UTF-8" })
		}},
		{what: "no key", code: KeyMissing, state: Impossible, config: sealed, harm: func(_ *testing.T, k *Keeper, _ Manifest) { k.identities = nil }},
		{what: "a wrong key", code: WrongKey, state: Impossible, config: sealed, harm: func(_ *testing.T, k *Keeper, _ Manifest) { k.identities = []age.Identity{other} }},
		{what: "no server", code: DatabaseAway, state: Impossible, harm: func(_ *testing.T, k *Keeper, _ Manifest) {
			k.DatabaseURL = "postgres://payaid@127.0.0.1:1/source?connect_timeout=5"
		}},
		{what: "no pg_restore", code: ClientVersion, state: Impossible, harm: func(t *testing.T, k *Keeper, _ Manifest) { k.Binaries = t.TempDir() }},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := tt.config
			if c.DatabaseURL == "" {
				c.DatabaseURL = url
			}
			k, m := backedUp(t, c)
			tt.harm(t, k, m)
			v, err := k.Verify(t.Context(), m.Name, nil)
			wantFault(t, err, tt.code)
			if tt.state != "" && v.State != tt.state {
				t.Errorf("got state %s, want %s", v.State, tt.state)
			}
			if tt.state != "" && v.Code != tt.code {
				t.Errorf("got code %s in the verification", v.Code)
			}
			list, listed := k.List(t.Context())
			if listed != nil || len(list) != 1 || list[0].Verified() {
				t.Errorf("got %+v, %v; want one that is not verified", list, listed)
			}
			if left := inTheMaking(t, pg.SuperURL("postgres")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// What can't be tried again is no reason to doubt what was found before.
func TestImpossibleVerificationKeepsTheEarlier(t *testing.T) {
	t.Parallel()
	k, m := backedUp(t, Config{})
	if _, err := k.Verify(t.Context(), m.Name, nil); err != nil {
		t.Fatal(err)
	}
	k.DatabaseURL = "postgres://payaid@127.0.0.1:1/source"
	v, err := k.Verify(t.Context(), m.Name, nil)
	if wantFault(t, err, DatabaseAway); v.State != Impossible {
		t.Errorf("got state %s", v.State)
	}
	raw, err := os.ReadFile(filepath.Join(k.Dir, m.Name+verificationEnding))
	var kept Verification
	if err == nil {
		err = json.Unmarshal(raw, &kept)
	}
	if err != nil || kept.State != Passed {
		t.Errorf("got %+v, %v; want the one that passed", kept, err)
	}
}

func TestVerificationsAtOnce(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	k, m := backedUp(t, Config{DatabaseURL: url})
	ended := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := k.Verify(t.Context(), m.Name, nil)
			ended <- err
		}()
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if left := inTheMaking(t, pg.SuperURL("postgres")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A verification that is given up leaves no database and says nothing of the backup.
func TestVerifyGivenUp(t *testing.T) {
	t.Parallel()
	pg, url := newServer(t)
	k, m := backedUp(t, Config{DatabaseURL: url})
	for _, stage := range []string{Checking, Restoring, Comparing} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := k.Verify(ctx, m.Name, func(p Progress) {
			if p.Stage == stage {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", stage, err)
		}
		if left := inTheMaking(t, pg.SuperURL("postgres")); len(left) > 0 {
			t.Errorf("%s: left behind: %q", stage, left)
		}
	}
	if _, err := os.Stat(filepath.Join(k.Dir, m.Name+verificationEnding)); err == nil {
		t.Error("a verification was noted")
	}
}
