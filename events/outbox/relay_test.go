package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

var errChanged = errors.New("the writer has changed its mind")

// write runs transactions of several writers at once; about every fourth takes its facts back.
func write(ctx context.Context, db *store.DB, writers, each int, seed uint64) error {
	var group sync.WaitGroup
	failed := make(chan error, writers)
	for w := range writers {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range each {
				err := db.Tx(ctx, func(tx pgx.Tx) error {
					facts := notes(fmt.Sprint(w, "-", i), 1+r.IntN(4))
					if err := outbox.Append(ctx, tx, origin(), facts...); err != nil {
						return err
					}
					if r.IntN(4) == 0 {
						return errChanged
					}
					return nil
				})
				if err != nil && !errors.Is(err, errChanged) {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

func TestRelayPublishesWhatWasCommitted(t *testing.T) {
	t.Parallel()
	db, s := open(t, newDatabase(t)), openStream(t, newNATS(t))
	startRelay(t, db, s)
	if err := write(t.Context(), db, 6, 40, 1); err != nil {
		t.Fatal(err)
	}
	published(t, db, s)
}

func TestRelayChoosesSinglesOrBatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ facts, inBatches int }{
		{1, 0}, {8, 0}, {9, 9}, {500, 500}, {501, 500}, {1203, 1203},
	} {
		t.Run(fmt.Sprint(tt.facts), func(t *testing.T) {
			t.Parallel()
			db, s := open(t, newDatabase(t)), openStream(t, newNATS(t))
			appendFacts(t, db, notes("a", tt.facts)...)
			startRelay(t, db, s)
			published(t, db, s)
			batched := 0
			for _, m := range messages(t, s) {
				if m.Header.Get("Nats-Batch-Id") != "" {
					batched++
				}
			}
			if batched != tt.inBatches {
				t.Errorf("%d of %d messages came in batches, want %d", batched, tt.facts, tt.inBatches)
			}
		})
	}
}

func TestRelayTakesWakeUp(t *testing.T) {
	t.Parallel()
	db, s := open(t, newDatabase(t)), openStream(t, newNATS(t))
	wake := make(chan struct{})
	relay := outbox.NewRelay(db.Pool(), s, wake, (&record{}).log())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	appendFacts(t, db, note{"a", 1})
	select {
	case wake <- struct{}{}: // taken, so it listens
	case <-time.After(patience):
		t.Fatal("the relay does not listen to its wake-up")
	}
	published(t, db, s)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

const leader = `
SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid::bigint << 32 | objid::bigint) = $1)`

func leading(t *testing.T, db *store.DB) (pid int, name string) {
	t.Helper()
	eventually(t, "a relay leads", func() error {
		return db.Pool().QueryRow(t.Context(), leader, outbox.LockID).Scan(&pid, &name)
	})
	return pid, name
}

func terminate(t *testing.T, pid int) {
	t.Helper()
	super := connect(t, localstack.TestPostgres(t).SuperURL("postgres"))
	if _, err := super.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pid); err != nil {
		t.Fatal(err)
	}
}

func TestRelayHandsOver(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, s := open(t, url), openStream(t, newNATS(t))
	startRelay(t, openAs(t, url, "relay-a"), s)
	if _, name := leading(t, db); name != "relay-a" {
		t.Fatalf("%s leads, want the only relay there is", name)
	}
	logged, _ := startRelay(t, openAs(t, url, "relay-b"), s)
	eventually(t, "the second stands by", saying(logged, "relay stands by"))
	appendFacts(t, db, notes("before", 20)...)
	published(t, db, s)
	if strings.Contains(logged.String(), "relay publishes") {
		t.Fatal("both relays publish")
	}

	for range 4 {
		pid, _ := leading(t, db)
		began := time.Now()
		terminate(t, pid)
		appendFacts(t, db, notes("after", 12)...)
		published(t, db, s)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("handing over took %s, want a few seconds", took)
		}
	}
}

// A zombie has lost the lock without knowing, while another relay went on.
func TestZombieRelayIsFenced(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 30} { // singles and a batch
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			url := newDatabase(t)
			db, s := open(t, url), openStream(t, newNATS(t))
			if err := s.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			zombie, conn := outbox.NewRelay(db.Pool(), s, nil, (&record{}).log()), connect(t, url)
			seq, position, err := zombie.Resume(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			startRelay(t, openAs(t, url, "relay"), s)
			appendFacts(t, db, notes("a", n)...)
			published(t, db, s)

			err = zombie.RelayUnlocked(t.Context(), conn, seq, position)
			if !errors.Is(err, outbox.ErrFenced) {
				t.Fatalf("the zombie got %v, want to be fenced", err)
			}
			appendFacts(t, db, notes("b", n)...)
			published(t, db, s)
			if _, err = s.Publish(t.Context(), seq, []outbox.Entry{fresh(t)}); !errors.Is(err, outbox.ErrFenced) ||
				!strings.Contains(err.Error(), "10071") {
				t.Fatalf("a fresh message behind a place that is taken got %v, want error 10071", err)
			}
		})
	}
}

// Two zombies and the leader at once, none of which knows of the others.
func TestRelaysWithoutLockNeverDuplicate(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, s := open(t, url), openStream(t, newNATS(t))
	startRelay(t, openAs(t, url, "relay"), s)
	ctx, cancel := context.WithCancel(t.Context())
	var zombies sync.WaitGroup
	for range 2 {
		conn := connect(t, url)
		zombie := outbox.NewRelay(db.Pool(), s, nil, (&record{}).log())
		zombies.Go(func() {
			for ctx.Err() == nil {
				if seq, position, err := zombie.Resume(ctx, conn); err == nil {
					_ = zombie.RelayUnlocked(ctx, conn, seq, position)
				}
			}
		})
	}
	err := write(t.Context(), db, 4, 30, 2)
	if err == nil {
		published(t, db, s)
	}
	cancel()
	zombies.Wait()
	if err != nil {
		t.Fatal(err)
	}
}
