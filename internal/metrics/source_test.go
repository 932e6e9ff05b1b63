package metrics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func constant(value float64) func(context.Context, *Sheet) error {
	return func(_ context.Context, s *Sheet) error {
		s.Set(DeadEvents, value)
		return nil
	}
}

// What can't be had is left out and said to be, and everything else is there.
func TestASourceThatFails(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	m := newMetrics(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	broken := true
	m.Add(Source{Name: "database", Read: func(_ context.Context, s *Sheet) error {
		s.Set(DeadEvents, 7)
		if broken {
			return errors.New("it is away")
		}
		return nil
	}})
	m.Add(Source{Name: "panics", Read: func(context.Context, *Sheet) error { panic("oh") }})
	m.Add(Source{Name: "miscounts", Read: func(_ context.Context, s *Sheet) error {
		s.Set(QueueWorkers, 1, "a", "label", "too", "many")
		return nil
	}})
	m.Add(Source{Name: "pool", Read: func(_ context.Context, s *Sheet) error {
		s.Set(PoolSize, 20, "api")
		return nil
	}})
	got := scrape(t, m, "")
	wantLines(t, got, `payaid_collector_up{collector="database"} 0`, `payaid_collector_up{collector="panics"} 0`,
		`payaid_collector_up{collector="miscounts"} 0`, `payaid_collector_up{collector="pool"} 1`, `payaid_db_pool_size{pool="api"} 20`)
	if strings.Contains(got, "payaid_dead_events") {
		t.Error("half of what a source gave is shown")
	}
	scrape(t, m, "")
	if n := strings.Count(log.String(), "it is away"); n != 1 {
		t.Errorf("the log has it %d times:\n%s", n, &log)
	}
	broken = false
	wantLines(t, scrape(t, m, ""), `payaid_collector_up{collector="database"} 1`, `payaid_dead_events 7`)
}

// Of many who ask at once one asks the source, and for a while nobody does.
func TestASourceIsAskedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(t)
		var asked atomic.Int32
		m.Add(Source{Name: "database", Every: 10 * time.Second, Read: func(_ context.Context, s *Sheet) error {
			asked.Add(1)
			time.Sleep(time.Second)
			return constant(7)(t.Context(), s)
		}})
		all := func() {
			var asking sync.WaitGroup
			for range 20 {
				asking.Go(func() {
					if rows, up, _ := m.active()[0].collect(); !up || len(rows) != 1 {
						t.Errorf("got %d rows, up %v", len(rows), up)
					}
				})
			}
			asking.Wait()
		}
		all()
		time.Sleep(8 * time.Second)
		all()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times within ten seconds", n)
		}
		time.Sleep(3 * time.Second)
		all()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times after ten seconds", n)
		}
	})
}

// A source that hangs costs its own figures, and the scrape a few seconds.
func TestASourceThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(t)
		hangs := func(ctx context.Context, _ *Sheet) error {
			<-ctx.Done()
			return ctx.Err()
		}
		m.Add(Source{Name: "database", Every: 10 * time.Second, Read: hangs})
		m.Add(Source{Name: "stream", Every: 10 * time.Second, Read: hangs})
		m.Add(Source{Name: "pool", Read: constant(7)})
		began := time.Now()
		got := scrape(t, m, "")
		if took := time.Since(began); took > readWithin+time.Second {
			t.Errorf("the scrape took %s", took)
		}
		wantLines(t, got, `payaid_collector_up{collector="database"} 0`, `payaid_collector_up{collector="stream"} 0`, `payaid_dead_events 7`)
		began = time.Now()
		scrape(t, m, "")
		if took := time.Since(began); took > time.Second {
			t.Errorf("the next scrape took %s", took)
		}
	})
}

// Parts of one process offer the same; when one ends another takes its place, and nothing is told twice.
func TestSourcesOfOneName(t *testing.T) {
	t.Parallel()
	m := newMetrics(t)
	removeFirst := m.Add(Source{Name: "database", Read: constant(1)})
	removeSecond := m.Add(Source{Name: "database", Read: constant(2)})
	removeOther := m.Add(Source{Name: "another", Read: constant(3)}) // of the same series
	wantLines(t, scrape(t, m, ""), "payaid_dead_events 1")
	removeFirst()
	wantLines(t, scrape(t, m, ""), "payaid_dead_events 2")
	removeSecond()
	wantLines(t, scrape(t, m, ""), "payaid_dead_events 3")
	removeOther()
	if got := scrape(t, m, ""); strings.Contains(got, "payaid_dead_events") || strings.Contains(got, "payaid_collector_up") {
		t.Error("what was removed is still told")
	}
}

// Once a source is removed it isn't asked any more: what it asks may be closed.
func TestRemoveWaitsForTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(t)
		var reading atomic.Bool
		var asked atomic.Int32
		remove := m.Add(Source{Name: "database", Read: func(context.Context, *Sheet) error {
			asked.Add(1)
			reading.Store(true)
			time.Sleep(time.Second)
			reading.Store(false)
			return nil
		}})
		var asking sync.WaitGroup
		asking.Go(func() { scrape(t, m, "") })
		time.Sleep(100 * time.Millisecond)
		if !reading.Load() {
			t.Fatal("the source isn't asked")
		}
		late := m.active()[0]
		remove()
		if reading.Load() {
			t.Error("the source was removed while it was asked")
		}
		if late.collect(); asked.Load() != 1 {
			t.Error("it was asked after it was removed")
		}
		asking.Wait()
	})
}
