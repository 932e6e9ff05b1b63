package cachetag

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A design is a way to cache one value and to invalidate it.
type design interface {
	read(ctx context.Context, load func() int64) (int64, error)
	invalidate(ctx context.Context) error
}

// ours is this package.
type ours struct {
	*Cache
	entry Entry
}

func (d ours) read(ctx context.Context, load func() int64) (int64, error) {
	value, _, err := d.Read(ctx, d.entry, func(context.Context) ([]byte, error) { return number(load()), nil })
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(value), 10, 64)
}

func (d ours) invalidate(ctx context.Context) error {
	return d.Bump(ctx, d.entry.Organization, d.entry.Tags...)
}

// evicting is ours in a Redis that throws stamps away just before they would be replaced, or just after.
type evicting struct {
	ours
	client *redis.Client
	after  bool
}

func (d evicting) invalidate(ctx context.Context) error {
	if d.after {
		if err := d.ours.invalidate(ctx); err != nil {
			return err
		}
	}
	for _, tag := range d.entry.Tags {
		if err := d.client.Del(ctx, stampKey(d.entry.Organization, tag)).Err(); err != nil {
			return err
		}
	}
	if d.after {
		return nil
	}
	return d.ours.invalidate(ctx)
}

// naive keeps the keys of a tag in a set and deletes them.
type naive struct {
	client *redis.Client
	key    string
}

func (d naive) read(ctx context.Context, load func() int64) (int64, error) {
	if n, err := d.client.Get(ctx, d.key).Int64(); err == nil {
		return n, nil
	}
	n := load()
	if err := d.client.Set(ctx, d.key, n, time.Minute).Err(); err != nil {
		return 0, err
	}
	return n, d.client.SAdd(ctx, d.key+":tag", d.key).Err()
}

func (d naive) invalidate(ctx context.Context) error {
	keys, err := d.client.SMembers(ctx, d.key+":tag").Result()
	if err != nil || len(keys) == 0 {
		return err
	}
	if err := d.client.Del(ctx, keys...).Err(); err != nil {
		return err
	}
	return d.client.Del(ctx, d.key+":tag").Err()
}

// tooLate is ours, but for the stamps, which it reads when it has loaded.
type tooLate struct{ ours }

func (d tooLate) read(ctx context.Context, load func() int64) (int64, error) {
	e := d.entry
	s, err := d.look(ctx, e)
	if err != nil {
		return 0, err
	}
	if s.hit {
		return strconv.ParseInt(string(s.value), 10, 64)
	}
	n := load()
	if s, err = d.look(ctx, e); err != nil {
		return 0, err
	}
	return n, d.keep(ctx, e, s, number(n))
}

// organizations are those of the tests that run, by their testing.TB.
var organizations sync.Map

// organizationOf is a test's own, each time that it runs: what an earlier run kept is not its own.
func organizationOf(t testing.TB) string {
	own, _ := organizations.LoadOrStore(t, t.Name()+"-"+strconv.FormatUint(rand.Uint64(), 36))
	return own.(string)
}

func anEntry(t testing.TB) Entry {
	return Entry{Organization: organizationOf(t), Name: "contact:list", Key: "limit=50", Tags: []string{Contacts}, TTL: time.Minute}
}

// A load begins, the invalidation of a later change is acknowledged, and only then the load ends and is
// written down. Whoever reads afterwards must see the change.
func TestNoStaleFill(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	for name, tt := range map[string]struct {
		design func(*testing.T) (slow, other design)
		stale  bool
	}{
		"ours": {func(t *testing.T) (design, design) {
			c := open(t, url)
			return ours{c, anEntry(t)}, ours{c, anEntry(t)}
		}, false},
		"ours, in two processes": {func(t *testing.T) (design, design) {
			return ours{open(t, url), anEntry(t)}, ours{open(t, url), anEntry(t)}
		}, false},
		"ours, under a lease": {func(t *testing.T) (design, design) {
			e := anEntry(t)
			e.Lease = 200 * time.Millisecond
			return ours{open(t, url), e}, ours{open(t, url), e}
		}, false},
		"ours, the stamp gone before its end": {func(t *testing.T) (design, design) {
			return ours{open(t, url), anEntry(t)}, evicting{ours{open(t, url), anEntry(t)}, raw(t, url), false}
		}, false},
		"ours, the stamp gone after its end": {func(t *testing.T) (design, design) {
			return ours{open(t, url), anEntry(t)}, evicting{ours{open(t, url), anEntry(t)}, raw(t, url), true}
		}, false},
		"stamps read after the load": {func(t *testing.T) (design, design) {
			d := tooLate{ours{open(t, url), anEntry(t)}}
			return d, d
		}, true},
		"sets of keys": {func(t *testing.T) (design, design) {
			d := naive{raw(t, url), organizationOf(t)}
			return d, d
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow, other := tt.design(t)
			var truth atomic.Int64
			truth.Store(1)
			loaded, resume, filled := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				_, err := slow.read(t.Context(), func() int64 {
					n := truth.Load()
					close(loaded)
					<-resume
					return n
				})
				filled <- err
			}()
			<-loaded
			truth.Store(2)
			if err := other.invalidate(t.Context()); err != nil {
				t.Fatal(err)
			}
			// While the old load is still under way: nobody may join it.
			if n, err := within(t, other, truth.Load); err != nil || n != 2 && !tt.stale {
				t.Errorf("during the load: got %d, %v; want 2", n, err)
			}
			close(resume)
			if err := <-filled; err != nil {
				t.Fatal(err)
			}
			for _, d := range []design{slow, other} {
				n, err := d.read(t.Context(), truth.Load)
				if err != nil || (n != 2) != tt.stale {
					t.Errorf("after the fill: got %d, %v; stale is to be %t", n, err, tt.stale)
				}
			}
		})
	}
}

// What nobody has read has no stamp, and its changes make none.
func TestABumpOfWhatNobodyReadKeepsNothing(t *testing.T) {
	t.Parallel()
	c, client, e := open(t, redisURL(t)), raw(t, redisURL(t)), anEntry(t)
	e.Tags = []string{ContactTag("a")}
	bump(t, c, e.Organization, ContactTag("a"), ContactTag("b"), Contacts)
	if keys, err := client.Keys(t.Context(), "*"+e.Organization+"*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("it keeps %q, %v", keys, err)
	}
	reads(t, c, e, constant(1), "1", Miss)
	bump(t, c, e.Organization, ContactTag("b"), Contacts)
	reads(t, c, e, constant(2), "1", Hit)
	bump(t, c, e.Organization, ContactTag("a"))
	reads(t, c, e, constant(2), "2", Miss)
}

// within reads, and gives up on a read that waits for another's load.
func within(t *testing.T, d design, load func() int64) (int64, error) {
	if _, ok := d.(naive); ok {
		return 2, nil // it would write the new value down itself, before the old one
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if late, ok := d.(tooLate); ok {
		d = late.ours
	}
	return d.read(ctx, load)
}

// storm lets two processes read and invalidate at random for a while, and counts reads that gave a value
// older than the newest invalidation that was acknowledged before they began.
func storm(t *testing.T, d time.Duration, processes []design, faults func(context.Context)) (reads, stale int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var truth, acknowledged, all, old atomic.Int64
	load := func() int64 {
		n := truth.Load()
		time.Sleep(rand.N(1200 * time.Microsecond)) // what is measured: loads that take their time
		return n
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				floor := acknowledged.Load()
				n, err := processes[i%len(processes)].read(t.Context(), load)
				if err != nil {
					t.Error(err)
					return
				}
				if all.Add(1); n < floor {
					old.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			n := truth.Add(1)
			if err := processes[i%len(processes)].invalidate(t.Context()); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(n)
			time.Sleep(rand.N(4 * time.Millisecond))
		}
	})
	if faults != nil {
		wg.Go(func() { faults(ctx) })
	}
	wg.Wait()
	return all.Load(), old.Load()
}

func TestNoStaleReadsInAStorm(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	e := anEntry(t)
	e.Tags = []string{Contacts, Deals}
	reads, stale := storm(t, 3*time.Second, []design{ours{open(t, url), e}, ours{open(t, url), e}}, nil)
	t.Logf("%d reads, %d stale", reads, stale)
	if stale > 0 || reads < 100 {
		t.Errorf("%d of %d reads were stale", stale, reads)
	}
}

// The storm finds what it is made to find.
func TestTheStormFindsStaleReads(t *testing.T) {
	t.Parallel()
	client := raw(t, redisURL(t))
	reads, stale := storm(t, time.Second, []design{naive{client, organizationOf(t)}}, nil)
	t.Logf("%d reads, %d stale", reads, stale)
	if stale == 0 {
		t.Errorf("no stale read of %d by sets of keys", reads)
	}
}
