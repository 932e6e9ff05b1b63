package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

const patience = 60 * time.Second

func slots(t *testing.T, db *store.DB, n int) *store.Slots {
	t.Helper()
	s := store.NewSlots(db, "test", n)
	t.Cleanup(s.Close)
	return s
}

// Processes are pools here. Callers that give up in the middle of asking must not free what others hold.
func TestSlotsAreNeverTooMany(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	const n, processes, callers, rounds = 2, 3, 4, 12
	var holding, most, got atomic.Int32
	var all sync.WaitGroup
	for range processes {
		s := slots(t, open(t, url, store.System), n)
		for c := range callers {
			all.Go(func() {
				for r := range rounds {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					if (c+r)%3 == 0 {
						cancel()
						ctx, cancel = context.WithTimeout(t.Context(), time.Duration(r)*time.Millisecond)
					}
					release, err := s.Acquire(ctx)
					cancel()
					if err != nil {
						continue
					}
					got.Add(1)
					now := holding.Add(1)
					for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
					}
					<-time.After(3 * time.Millisecond) // the work
					holding.Add(-1)
					release()
				}
			})
		}
	}
	all.Wait()
	if most.Load() > n {
		t.Errorf("%d held a slot at once, want %d at most", most.Load(), n)
	}
	if got.Load() < processes*callers*rounds/2 {
		t.Errorf("only %d got a slot", got.Load())
	}
}

func TestSlotsAreFreedWithTheirConnection(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	a, b := slots(t, open(t, url, store.System), 1), slots(t, open(t, url, store.System), 1)
	release, err := a.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := b.Acquire(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a taken slot was given: %v", err)
	}
	super := connect(t, localstack.TestPostgres(t).SuperURL("postgres"))
	_, err = super.Exec(t.Context(), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND l.granted AND d.datname = $1`, connect(t, url).Config().Database)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	releaseB, err := b.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	release() // must not free what is b's now
	again, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := a.Acquire(again); err == nil {
		t.Fatal("releasing a lost slot freed another's")
	}
	releaseB()
	if releaseA, err := a.Acquire(ctx); err != nil {
		t.Fatal(err)
	} else {
		releaseA()
	}
}

// Processes are pools here, and one of them dies.
func TestSlotsLoadIsOfAllProcesses(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	const n = 2
	busy, other, idle := slots(t, open(t, url, store.System), n), slots(t, open(t, url, store.System), n), slots(t, open(t, url, store.System), n)
	load := func(want int) {
		t.Helper()
		for began := time.Now(); ; {
			got, size, err := idle.Load(t.Context())
			if err != nil || size != n {
				t.Fatalf("%d slots, error %v", size, err)
			}
			if got == want {
				return
			}
			if time.Since(began) > patience {
				t.Fatalf("%d are ahead, want %d", got, want)
			}
		}
	}
	load(0)
	var releases []func()
	for range n {
		release, err := busy.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	load(n)
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for _, s := range []*store.Slots{busy, busy, busy, other, other} {
		waiting.Go(func() {
			if release, err := s.Acquire(ctx); err == nil {
				<-ctx.Done()
				release()
			}
		})
	}
	load(n + 5)
	if got, _, err := busy.Load(t.Context()); err != nil || got != n+5 {
		t.Errorf("who holds the slots counts %d, error %v; want %d", got, err, n+5)
	}
	busy.Close() // its process dies: the others take its slots
	load(2)
	leave()
	waiting.Wait()
	load(0)
	for _, release := range releases {
		release()
	}
}

// A slot that is given back goes to who waits in the same process without a question to the database.
func TestSlotsGoFromHandToHand(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	s := slots(t, open(t, url, store.System), 1)
	const callers, rounds = 4, 50
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				release, err := s.Acquire(ctx)
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				release()
			}
		})
	}
	all.Wait()
	// A poll for each would take 200 times 15 ms.
	if took := time.Since(began); took > callers*rounds*15*time.Millisecond/2 {
		t.Errorf("%d turns took %s", callers*rounds, took)
	}
}

// Who has slots and never runs out of work must not keep them from others.
func TestSlotsAreSharedWithOthers(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	greedy, modest := slots(t, open(t, url, store.System), 1), slots(t, open(t, url, store.System), 1)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				release, err := greedy.Acquire(ctx)
				if err != nil {
					return
				}
				<-time.After(20 * time.Millisecond)
				release()
			}
		})
	}
	for ahead := 0; ahead < 3; {
		var err error
		if ahead, _, err = modest.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		waiting, cancel := context.WithTimeout(t.Context(), patience)
		release, err := modest.Acquire(waiting)
		cancel()
		if err != nil {
			t.Fatalf("the other process got no slot within %s: %v", patience, err)
		}
		release()
	}
}

func TestSlotsThatAreClosedEndTheWait(t *testing.T) {
	t.Parallel()
	s := slots(t, open(t, newDatabase(t), store.System), 1)
	if _, err := s.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Acquire(t.Context())
		ended <- err
	}()
	for {
		if ahead, _, err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		} else if ahead == 2 {
			break
		}
	}
	s.Close()
	if err := <-ended; err == nil {
		t.Error("a slot was given after the end")
	}
	if _, err := s.Acquire(t.Context()); err == nil {
		t.Error("a slot was given after the end")
	}
}
