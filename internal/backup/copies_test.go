package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoPlaces has a folder and a bucket for backups of thirty days.
func twoPlaces(t *testing.T) (*Keeper, *bucketServer) {
	t.Helper()
	server := newBucketServer(t)
	k, err := New(Config{Dir: privateFolder(t), Remote: server.client(t), Retention: Retention{Days: 30}})
	if err != nil {
		t.Fatal(err)
	}
	k.now = func() time.Time { return day(100) }
	return k, server
}

func day(n int) time.Time { return time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

// lay puts a backup into the folder, with an id and sums as a real one has.
func lay(t *testing.T, k *Keeper, started time.Time, dump string) Manifest {
	t.Helper()
	name := started.Format(nameLayout)
	m := Manifest{Format: manifestFormat, ID: "id-of-" + name, Name: name, File: name + dumpEnding, Database: "payaid", StartedAt: started,
		SnapshotAt: started, Bytes: int64(len(dump)), SHA256: sumOf([]byte(dump))}
	text, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, k.Dir, m.File, dump)
	putFile(t, k.Dir, name+manifestEnding, string(text))
	return m
}

func layVerification(t *testing.T, k *Keeper, m Manifest, state string) {
	t.Helper()
	text, err := json.Marshal(Verification{Name: m.Name, SHA256: m.SHA256, State: state, FinishedAt: m.StartedAt.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, k.Dir, m.Name+verificationEnding, string(text))
}

// inBucket names the files of the bucket, without what is before a backup's number.
func inBucket(t *testing.T, s *bucketServer) []string {
	t.Helper()
	list, err := s.client(t).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, o := range list {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}

func mustCopy(t *testing.T, k *Keeper) Copies {
	t.Helper()
	c, err := k.Copy(t.Context())
	if err != nil || c.Refused != nil {
		t.Fatalf("got %+v, %v", c, err)
	}
	return c
}

func TestCopyBringsWhatIsMissing(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	first, second := lay(t, k, day(90), "one"), lay(t, k, day(91), strings.Repeat("two", 100_000))
	putFile(t, k.Dir, "payaid_20260101_000000.dump.zst", "nobody finished it")
	if got := mustCopy(t, k).Stored; !slices.Equal(got, []string{second.Name, first.Name}) {
		t.Errorf("stored are %v", got)
	}
	if got := inBucket(t, server); len(got) != 4 || string(server.stored(t, second.File)) != strings.Repeat("two", 100_000) {
		t.Errorf("the bucket has %v", got)
	}
	server.puts.Store(0)
	layVerification(t, k, first, Passed)
	if got := mustCopy(t, k).Stored; !slices.Equal(got, []string{first.Name}) || server.puts.Load() != 1 {
		t.Errorf("stored are %v with %d puts", got, server.puts.Load())
	}
	layVerification(t, k, first, Failed)
	mustCopy(t, k)
	mustCopy(t, k)
	if n := server.puts.Load(); n != 2 {
		t.Errorf("%d puts", n)
	}
	list, err := k.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("the list is %+v, %v", list, err)
	}
	for _, e := range list[:2] {
		if !slices.Equal(e.Places, []string{InFolder, InRemote}) || !e.Good() {
			t.Errorf("got %+v", e)
		}
	}
}

// Until the last file is there the bucket has no backup; the folder keeps its own, and the next run brings the rest.
func TestCopyThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{dumpEnding, manifestEnding, verificationEnding} {
		for name, trouble := range map[string]fault{"cut": cut, "500": answer(500, "InternalError"), "403": answer(403, "AccessDenied"),
			"changed": changing(flipped, true)} {
			t.Run(name+ending, func(t *testing.T) {
				t.Parallel()
				k, server := twoPlaces(t)
				m := lay(t, k, day(90), strings.Repeat("x", 200<<10))
				layVerification(t, k, m, Passed)
				before := folderFiles(t, k.Dir)
				server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ending) {
						trouble(w, r, next)
						return
					}
					next.ServeHTTP(w, r)
				})
				_, err := k.Copy(t.Context())
				if f := faultIn(t, err); f.Code != RemoteFailed || f.Remedy == "" {
					t.Errorf("got %+v", f)
				}
				if slices.Contains(inBucket(t, server), m.Name+manifestEnding) {
					t.Errorf("it looks complete: %v", inBucket(t, server))
				}
				if after := folderFiles(t, k.Dir); !maps.Equal(before, after) {
					t.Errorf("the folder was %v, and is %v", before, after)
				}
				list, err := k.List(t.Context())
				if err != nil || len(list) != 1 || !list[0].Verified() || !slices.Equal(list[0].Places, []string{InFolder}) {
					t.Errorf("the list is %+v, %v", list, err)
				}
				server.behave()
				mustCopy(t, k)
				if list, err = k.List(t.Context()); err != nil || len(list[0].Places) != 2 || len(inBucket(t, server)) != 3 {
					t.Errorf("afterwards the list is %+v, %v", list, err)
				}
			})
		}
	}
}

// A bucket that lost or damaged a dump gets it again.
func TestCopyMendsTheBucket(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*bucketServer, Manifest) error{
		"lost": func(s *bucketServer, m Manifest) error {
			_, err := s.backend.DeleteObject(testBucket, "payaid/test/"+m.File)
			return err
		},
		"shorter": func(s *bucketServer, m Manifest) error {
			_, err := s.backend.PutObject(testBucket, "payaid/test/"+m.File, map[string]string{}, strings.NewReader("o"), 1, nil)
			return err
		},
		"manifest of nothing": func(s *bucketServer, m Manifest) error {
			_, err := s.backend.PutObject(testBucket, "payaid/test/"+m.Name+manifestEnding, map[string]string{}, strings.NewReader("{}"), 2, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, server := twoPlaces(t)
			m := lay(t, k, day(90), "one")
			mustCopy(t, k)
			if err := damage(server, m); err != nil {
				t.Fatal(err)
			}
			if list, err := k.List(t.Context()); err != nil || !list[0].Good() || !slices.Equal(list[0].Places, []string{InFolder}) {
				t.Errorf("the list is %+v, %v", list, err)
			}
			mustCopy(t, k)
			if got := string(server.stored(t, m.File)); got != "one" {
				t.Errorf("the bucket has %q", got)
			}
			if list, err := k.List(t.Context()); err != nil || len(list[0].Places) != 2 {
				t.Errorf("the list is %+v, %v", list, err)
			}
		})
	}
}

// A dump that was damaged here isn't copied, and keeps no other from it.
func TestCopyOfADamagedBackup(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	good, bad := lay(t, k, day(89), "one"), lay(t, k, day(90), "two")
	putFile(t, k.Dir, bad.File, "TWO")
	c, err := k.Copy(t.Context())
	if f := faultIn(t, err); f.Code != Corrupted || !slices.Equal(c.Stored, []string{good.Name}) {
		t.Errorf("got %+v, %v", c, err)
	}
	if got := inBucket(t, server); !slices.Equal(got, []string{good.File, good.Name + manifestEnding}) {
		t.Errorf("the bucket has %v", got)
	}
}

// The bucket's backups age by themselves: those that never arrived remove none, and the newest verified one stays.
func TestCopiesThatAreRetained(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	var made []Manifest
	for i := range 5 {
		made = append(made, lay(t, k, day(i*10), fmt.Sprint("dump ", i)))
	}
	layVerification(t, k, made[0], Passed)
	k.Retention.Days = 1000
	mustCopy(t, k)
	k.Retention.Days = 15
	// The folder keeps none of them, and has a newer one that can't be brought.
	for _, m := range made {
		for _, ending := range []string{dumpEnding, manifestEnding, verificationEnding} {
			_ = os.Remove(filepath.Join(k.Dir, m.Name+ending))
		}
	}
	newest := lay(t, k, day(90), "newest")
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			answer(403, "AccessDenied")(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	before := inBucket(t, server)
	if c, err := k.Copy(t.Context()); err == nil || len(c.Removed) > 0 || !slices.Equal(before, inBucket(t, server)) {
		t.Errorf("got %+v, %v", c, err)
	}
	server.behave()
	if got := mustCopy(t, k).Removed; !slices.Equal(got, []string{made[1].Name, made[2].Name, made[3].Name, made[4].Name}) {
		t.Errorf("removed are %v", got)
	}
	want := []string{made[0].File, made[0].Name + manifestEnding, made[0].Name + verificationEnding, newest.File, newest.Name + manifestEnding}
	if got := inBucket(t, server); !slices.Equal(got, want) {
		t.Errorf("the bucket has %v, want %v", got, want)
	}
	if list, err := k.List(t.Context()); err != nil || len(list) != 2 || !slices.Equal(list[1].Places, []string{InRemote}) || !list[1].Verified() {
		t.Errorf("the list is %+v, %v", list, err)
	}
	mustCopy(t, k)
}

// A bucket that keeps its files for a set time is no failure.
func TestCopiesThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	k.Retention.Days = 1000
	old, newest := lay(t, k, day(1), "old"), lay(t, k, day(90), "new")
	mustCopy(t, k)
	k.Retention.Days = 15
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodDelete {
			answer(403, "ObjectLocked")(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	c, err := k.Copy(t.Context())
	if err != nil || len(c.Removed) > 0 || !strings.Contains(fmt.Sprint(c.Refused), "set time") {
		t.Errorf("got %+v, %v", c, err)
	}
	if got := inBucket(t, server); len(got) != 4 {
		t.Errorf("%v and %v are there as %v", old.Name, newest.Name, got)
	}
}

// Another installation's backup of the same second is left alone.
func TestCopyBesideAnotherInstallation(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	other, err := New(Config{Dir: privateFolder(t), Remote: server.client(t)})
	if err != nil {
		t.Fatal(err)
	}
	theirs := lay(t, other, day(90), "theirs")
	mustCopy(t, other)
	m := lay(t, k, day(90), "ours")
	m.ID = "another"
	text, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, k.Dir, m.Name+manifestEnding, string(text))
	_, err = k.Copy(t.Context())
	if f := faultIn(t, err); !strings.Contains(f.Remedy, "BACKUP_S3_PREFIX") || string(server.stored(t, theirs.File)) != "theirs" {
		t.Errorf("got %+v", f)
	}
}

// The list of the folder is shown while the bucket is away. Who has nothing else is told why there is nothing.
func TestListWhileTheBucketIsAway(t *testing.T) {
	t.Parallel()
	k, server := twoPlaces(t)
	server.misbehave(answer(403, "InvalidAccessKeyId"))
	if _, err := k.List(t.Context()); faultIn(t, err).Code != RemoteFailed {
		t.Errorf("got %v", err)
	}
	lay(t, k, day(90), "one")
	if list, err := k.List(t.Context()); err != nil || len(list) != 1 || !slices.Equal(list[0].Places, []string{InFolder}) {
		t.Errorf("got %+v, %v", list, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := k.Copy(t.Context()); faultIn(t, err).Code != RemoteFailed {
		t.Errorf("got %v", err)
	}
}

// A machine that lost its folder finds its backups in the bucket.
func TestListOfTheBucketAlone(t *testing.T) {
	t.Parallel()
	k, _ := twoPlaces(t)
	m := lay(t, k, day(90), "one")
	layVerification(t, k, m, Passed)
	mustCopy(t, k)
	k.Dir = filepath.Join(t.TempDir(), "never made")
	list, err := k.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Verified() || !slices.Equal(list[0].Places, []string{InRemote}) {
		t.Errorf("got %+v, %v", list, err)
	}
	if name, err := k.newest(t.Context()); err != nil || name != m.Name {
		t.Errorf("the newest is %q, %v", name, err)
	}
	if c, err := k.Copy(t.Context()); err != nil || len(c.Stored)+len(c.Removed) > 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func folderFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}
