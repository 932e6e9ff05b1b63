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
