package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/internal/store"
)

// hold takes connections out of a pool until the test gives them back.
func hold(t *testing.T, db *store.DB, n int) (giveBack func()) {
	t.Helper()
	var held []*pgxpool.Conn
	for range n {
		c, err := db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	var once sync.Once
	giveBack = func() {
		once.Do(func() {
			for _, c := range held {
				c.Release()
			}
		})
	}
	t.Cleanup(giveBack)
	return giveBack
}

func TestPoolStats(t *testing.T) {
	t.Parallel()
	const wait = 200 * time.Millisecond
	db, err := store.Open(t.Context(), store.PoolOptions{URL: newDatabase(t), Role: store.App, MaxConns: 5, Base: 3, AcquireWait: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	giveBack := hold(t, db, 2)
	for tick := time.Tick(time.Millisecond); db.Pool().Stat().ConstructingConns() > 0; {
		<-tick // the pool makes connections to keep, which count as well
	}
	if s := db.Stats(); s.Base != 3 || s.Overflow != 2 || s.InUse != 2 || s.BurstInUse != 0 || s.Timeouts != 0 {
		t.Errorf("two in use: %+v", s)
	}
	giveBackMore := hold(t, db, 3)
	if s := db.Stats(); s.InUse != 5 || s.BurstInUse != 2 || s.Idle != 0 {
		t.Errorf("all in use: %+v", s)
	}
	began := time.Now()
	if err := db.Ping(t.Context()); !errors.Is(err, store.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if took := time.Since(began); took < wait || took > wait+5*time.Second {
		t.Errorf("waited for %s", took)
	}
	if s := db.Stats(); s.Timeouts != 1 {
		t.Errorf("after a timeout: %+v", s)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Ping(gone); err == nil || errors.Is(err, store.ErrBusy) || db.Stats().Timeouts != 1 {
		t.Errorf("who hangs up is no timeout: %v", err)
	}
	waited := make(chan error, 1)
	waiting := db.Stats().Waits
	go func() { waited <- db.Ping(t.Context()) }()
	giveBackMore()
	giveBack()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if s := db.Stats(); s.InUse != 0 || s.BurstInUse != 0 || s.Waits < waiting || s.WaitTime < 0 {
		t.Errorf("all given back: %+v", s)
	}
}

// A burst that lasts is told once in five minutes, a short one never.
func TestBurstIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		var now atomic.Pointer[store.PoolStats]
		now.Store(&store.PoolStats{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			store.WatchBurstOf(ctx, slog.New(slog.NewTextHandler(log, nil)), func() store.PoolStats { return *now.Load() })
		}()
		warnings := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after) // the clock of the bubble
			synctest.Wait()
			if got := log.take(); strings.Count(got, "beyond its size") != want {
				t.Errorf("after %s: want %d warnings: %s", after, want, got)
			}
		}
		warnings(10*time.Minute, 0)
		now.Store(&store.PoolStats{Base: 20, InUse: 21, BurstInUse: 1})
		warnings(4*time.Minute, 0)
		now.Store(&store.PoolStats{Base: 20, InUse: 20})
		warnings(20*time.Second, 0)
		now.Store(&store.PoolStats{Base: 20, InUse: 23, BurstInUse: 3})
		warnings(4*time.Minute+30*time.Second, 0)
		warnings(time.Minute, 1)
		warnings(4*time.Minute, 0)
		warnings(time.Minute, 1)
		cancel()
		<-done
	})
}

// A process that froze in the middle of a transaction must not keep others waiting for long.
func TestATransactionThatIsLeftAloneEnds(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	tx, err := open(t, url, store.System).Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(42)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := connect(t, url).Exec(ctx, `SELECT pg_advisory_lock(42)`); err != nil {
		t.Fatalf("wait for what the transaction holds: %v", err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("the transaction goes on")
	}
}
