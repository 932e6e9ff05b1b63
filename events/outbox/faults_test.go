package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
)

func fresh(t *testing.T) outbox.Entry {
	t.Helper()
	return outbox.Entry{
		Event: events.Envelope{ID: outbox.NewID(), Type: "test.noted", Subject: "x", Time: time.Now(),
			OrganizationID: "o", Data: json.RawMessage(`{}`)},
		Position: events.Position{Epoch: "e", XID: 1, ID: 1},
	}
}

// A killed server takes the answers of what it stored to its grave.
func TestRelaySurvivesKilledNATS(t *testing.T) {
	t.Parallel()
	n := localstack.NewNATS(t)
	db, s := open(t, newDatabase(t)), openStream(t, n.URL())
	startRelay(t, db, s)

	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(chan error, 1)
	go func() {
		for i := uint64(0); ctx.Err() == nil; i++ {
			if err := write(context.WithoutCancel(ctx), db, 3, 12, i); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	const kills = 5
	for range kills {
		before, _ := lastSeq(t, s)
		eventually(t, "the relay publishes", func() error {
			if now, err := lastSeq(t, s); err != nil || now < before+5 {
				return fmt.Errorf("at %d, was at %d: %v", now, before, err)
			}
			return nil
		})
		n.Kill()
		if err := n.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	published(t, db, s)
}

func lastSeq(t *testing.T, s interface {
	State(context.Context) (uint64, uint64, error)
}) (uint64, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, last, err := s.State(ctx)
	return last, err
}

// startNATS runs a server as a process in a folder, on the port of its last start there.
func startNATS(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	n, err := localstack.StartNATSProcess(t.Context(), localstack.NATSOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return n.URL(), stop
}

func TestRelayCatchesUpAfterNATSWasAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := startNATS(t, dir)
	db, s := open(t, newDatabase(t)), openStream(t, url)
	logged, _ := startRelay(t, db, s)
	appendFacts(t, db, notes("before", 3)...)
	published(t, db, s)

	stop()
	if err := write(t.Context(), db, 4, 20, 3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the relay noticed", saying(logged, "level=WARN"))
	startNATS(t, dir)
	published(t, db, s)
}

func TestRelayFillsLostTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := startNATS(t, dir)
	db, s := open(t, newDatabase(t)), openStream(t, url)
	startRelay(t, db, s)
	appendFacts(t, db, notes("kept", 15)...)
	published(t, db, s)
	stop()

	store, older := filepath.Join(dir, "jetstream"), filepath.Join(t.TempDir(), "jetstream")
	if err := os.CopyFS(older, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	_, stop = startNATS(t, dir)
	appendFacts(t, db, notes("lost", 4)...)
	appendFacts(t, db, notes("lost too", 30)...)
	published(t, db, s)
	stop()
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(store, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	startNATS(t, dir)
	published(t, db, s)
	appendFacts(t, db, notes("after", 2)...)
	published(t, db, s)
}

func TestRelayFillsDeletedStream(t *testing.T) {
	t.Parallel()
	url := newNATS(t)
	db, s := open(t, newDatabase(t)), openStream(t, url)
	startRelay(t, db, s)
	appendFacts(t, db, notes("a", 25)...)
	published(t, db, s)
	deleteStream(t, url)
	appendFacts(t, db, notes("b", 2)...)
	eventually(t, "the stream is made again", func() error { _, err := lastSeq(t, s); return err })
	published(t, db, s)
}

// What the router has carried out needs no second publishing when the stream is gone.
func TestRelayGoesOnBehindRouterInEmptyStream(t *testing.T) {
	t.Parallel()
	db, s := open(t, newDatabase(t)), openStream(t, newNATS(t))
	appendFacts(t, db, notes("routed", 5)...)
	_, err := db.Pool().Exec(t.Context(), `
		INSERT INTO consumer_positions (consumer, epoch, xid, id, stream_seq)
		SELECT 'router', epoch, xid, id, 5 FROM outbox, outbox_epochs ORDER BY xid DESC, id DESC LIMIT 1`)
	if err != nil {
		t.Fatal(err)
	}
	appendFacts(t, db, notes("new", 3)...)
	startRelay(t, db, s)
	want := ids(outboxHolds(t, db)[5:])
	eventually(t, "the new ones are published", func() error {
		if last, err := lastSeq(t, s); err != nil || last < 3 {
			return fmt.Errorf("at %d: %v", last, err)
		}
		return nil
	})
	if got := ids(streamHolds(t, s)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the stream holds %v, want %v", got, want)
	}
}

// A message that somebody else wrote can't be taken back, and must not stop the relay.
func TestRelayLooksPastForeignMessages(t *testing.T) {
	t.Parallel()
	url := newNATS(t)
	db, s := open(t, newDatabase(t)), openStream(t, url)
	_, stop := startRelay(t, db, s)
	appendFacts(t, db, notes("a", 2)...)
	published(t, db, s)
	nc := dial(t, url)
	for i, running := range []bool{true, false} {
		if !running {
			stop()
		}
		if _, err := nc.Request(events.Subject("job.requested"), []byte("hello"), patience); err != nil {
			t.Fatal(err)
		}
		appendFacts(t, db, notes(fmt.Sprint("b", i), 3)...)
		if !running {
			startRelay(t, db, s)
		}
		want := outboxHolds(t, db)
		eventually(t, "the relay goes on", func() error {
			if tail, err := s.Tail(t.Context()); err != nil || tail.Position.String() != want[len(want)-1].Position {
				return fmt.Errorf("at %v: %v", tail, err)
			}
			return nil
		})
	}
	if last, _ := lastSeq(t, s); last != 2+1+3+1+3 {
		t.Fatalf("the stream ends at %d, want 10", last)
	}
}
