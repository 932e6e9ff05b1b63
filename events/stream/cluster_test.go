package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
)

// onCluster opens the stream on three servers of the test's own.
func onCluster(t *testing.T) (*localstack.NATSCluster, *stream.Stream, jetstream.Stream) {
	t.Helper()
	c := localstack.NewNATSCluster(t)
	nc, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s, err := stream.Open(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	return c, s, st
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// copies is nil when the stream is kept in so many copies, and the survey says so.
func copies(s *stream.Stream, want, behind int) func(context.Context) error {
	return func(ctx context.Context) error {
		survey, err := s.Survey(ctx)
		if err == nil && (survey.Replicas != want || survey.Wanted != 3 || len(survey.Behind) != behind) {
			err = fmt.Errorf("%d copies, %d wanted, behind are %q; want %d, 3, and %d behind",
				survey.Replicas, survey.Wanted, survey.Behind, want, behind)
		}
		return err
	}
}

// A stream that was made with one copy gets three on a cluster, and keeps what it holds.
func TestEnsureAddsCopies(t *testing.T) {
	t.Parallel()
	c, s, st := onCluster(t)
	eventually(t, "three copies", copies(s, 3, 0))
	nc, err := nats.Connect(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	single := st.CachedInfo().Config
	single.Replicas = 1
	if _, err := js.UpdateStream(t.Context(), single); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one copy", copies(s, 1, 0))
	list := entries(0, 20)
	last := publish(t, s, 0, list)
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three copies again", copies(s, 3, 0))
	last = publish(t, s, last, entries(20, 20))

	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader, _ := c.Server(info.Cluster.Leader)
	c.KillServer(leader)
	eventually(t, "a copy is behind", copies(s, 3, 1))
	tail, err := s.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (outbox.Tail{Seq: last, Position: entries(39, 1)[0].Position, Known: true}); tail != want {
		t.Errorf("without the leader the stream ends with %+v, want %+v", tail, want)
	}
}

// killLeader kills the server that leads the stream, and starts it again.
func killLeader(ctx context.Context, c *localstack.NATSCluster, st jetstream.Stream) error {
	info, err := st.Info(ctx)
	if err != nil {
		return err
	}
	leader, _ := c.Server(info.Cluster.Leader)
	c.KillServer(leader)
	return c.StartServer(ctx, leader)
}

// Servers that lead are killed in the middle of publishes of every size. What was acknowledged stays, and
// what was published again after an answer that never came is there once.
func TestTheFenceHoldsWhenLeadersDie(t *testing.T) {
	t.Parallel()
	const kills, all = 2, 3000
	c, s, st := onCluster(t)
	want := entries(0, all)
	var deaths errgroup.Group
	acked, open := 0, 0
	// The protocol of the relay: whatever an answer leaves open, the end of the stream says.
	for sizes, at, struck := []int{1, 8, 40, 3}, 0, 0; at < all; {
		n := min(sizes[at%len(sizes)], all-at)
		if struck < kills && at > all*(struck+1)/(kills+1) {
			struck++
			deaths.Go(func() error { return killLeader(t.Context(), c, st) })
		}
		seq, err := s.Publish(t.Context(), uint64(at), want[at:at+n])
		if err == nil {
			at, acked = int(seq), int(seq)
			continue
		}
		if !errors.Is(err, outbox.ErrFenced) && !errors.Is(err, outbox.ErrUncertain) {
			t.Fatal(err)
		}
		if open++; errors.Is(err, outbox.ErrUncertain) {
			t.Logf("after %d: %v", at, err)
		}
		if err := deaths.Wait(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "look at the end", func(ctx context.Context) error {
			tail, err := s.Tail(ctx)
			at = int(tail.Seq)
			return err
		})
		if at < acked {
			t.Fatalf("message %d was acknowledged, and the stream ends at %d", acked, at)
		}
	}
	if err := deaths.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all copies", copies(s, 3, 0))
	n := 0
	if err := s.EventIDs(t.Context(), func(id string) {
		if n < all && id != want[n].Event.ID {
			t.Errorf("message %d is the event %s, want %s", n+1, id, want[n].Event.ID)
		}
		n++
	}); err != nil {
		t.Fatal(err)
	}
	if open == 0 {
		t.Error("no publish met a leader's death")
	}
	if n != all {
		t.Errorf("the stream holds %d messages, want %d", n, all)
	}
}
