package stream_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
)

func TestPublishIsFenced(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 8, 9, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, newServer(t))
			first := entries(0, n)
			if seq := publish(t, s, 0, first); seq != uint64(n) {
				t.Fatalf("the last sequence is %d, want %d", seq, n)
			}
			for what, list := range map[string][]outbox.Entry{"the same": first, "others": entries(n, n)} {
				if _, err := s.Publish(t.Context(), 0, list); !errors.Is(err, outbox.ErrFenced) {
					t.Errorf("publishing %s behind a place that is taken: %v, want to be fenced", what, err)
				}
			}
			if _, last, err := s.State(t.Context()); err != nil || last != uint64(n) {
				t.Fatalf("the stream ends at %d, want %d: %v", last, n, err)
			}
			tail, err := s.Tail(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := outbox.Tail{Seq: uint64(n), Position: first[n-1].Position, Known: true}
			if tail != want {
				t.Errorf("tail %+v, want %+v", tail, want)
			}
		})
	}
}

// The second of several singles would fit behind a stranger that took the place of the first.
func TestSinglesAreAllRefusedBehindStranger(t *testing.T) {
	t.Parallel()
	s, nc := open(t, newServer(t))
	seq := publish(t, s, 0, entries(0, 2))
	if _, err := nc.Request(events.Subject("test.noted"), []byte("{}"), patience); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(t.Context(), seq, entries(2, 5)); !errors.Is(err, outbox.ErrFenced) {
		t.Fatalf("got %v, want to be fenced", err)
	}
	if _, last, err := s.State(t.Context()); err != nil || last != seq+1 {
		t.Fatalf("the stream ends at %d, want only the stranger at %d: %v", last, seq+1, err)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	s, nc := open(t, newServer(t))
	list := entries(1, 12)
	seq := publish(t, s, 0, list)
	last := list[11].Position
	if _, err := nc.Request(events.Subject("test.noted"), []byte("{}"), patience); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		seq  uint64
		p    events.Position
		want bool
	}{
		{"what is there", seq, last, true},
		{"something else", seq - 1, last, false},
		{"a stranger behind it", seq + 1, last, true},
		{"a place behind the end", seq + 2, last, false},
	} {
		if got, err := s.Holds(t.Context(), tt.seq, tt.p); err != nil || got != tt.want {
			t.Errorf("%s: got %t, %v; want %t", tt.what, got, err, tt.want)
		}
	}
}

func TestEventIDs(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	var got, want []string
	keep := func(id string) { got = append(got, id) }
	if err := s.EventIDs(t.Context(), keep); err != nil || got != nil {
		t.Fatalf("an empty stream gives %v, %v", got, err)
	}
	list := entries(0, 400)
	publish(t, s, 0, list)
	for _, e := range list {
		want = append(want, e.Event.ID)
	}
	if err := s.EventIDs(t.Context(), keep); err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %d ids, %v; want the %d in order", len(got), err, len(want))
	}
}

// Each relay and router that starts ensures the stream, also while a cluster is being put together again.
func TestEnsureChangesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	s, nc := open(t, newServer(t))
	publish(t, s, 0, entries(0, 1))
	asked, err := nc.SubscribeSync("$JS.API.STREAM.UPDATE." + stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	ensure := func(wantUpdates int) {
		t.Helper()
		if err := s.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if n, _, _ := asked.Pending(); n != wantUpdates {
			t.Errorf("asked for %d updates, want %d", n, wantUpdates)
		}
	}
	ensure(0)

	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	short := st.CachedInfo().Config
	short.MaxAge, short.Compression = time.Hour, jetstream.S2Compression
	if _, err := js.UpdateStream(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	ensure(2) // the test's own, and one more
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := info.Config; c.MaxAge != 30*24*time.Hour || c.Compression != jetstream.S2Compression || info.State.LastSeq != 1 {
		t.Errorf("the stream keeps %s with compression %s, and ends at %d; want our age, the owner's s2, and 1", c.MaxAge, c.Compression, info.State.LastSeq)
	}
	ensure(2)
}

// The headers must give back what went in, and nothing of the data may show in them.
func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	list := entries(0, 3)
	list[0].Event.CausationID, list[0].Event.CorrelationID = outbox.NewID(), "request-1"
	list[0].Event.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	list[1].Event.Subject = "with spaces, ünïcode and \"quotes\""
	list[2].Event.Data = []byte(`{"secret":"of a person"}`)
	publish(t, s, 0, list)
	var got []outbox.Entry
	err := s.Follow(t.Context(), 1, 10, func(batch []stream.Message) error {
		for _, m := range batch {
			e, p, err := m.Event()
			if err != nil {
				return err
			}
			if strings.Contains(fmt.Sprint(m.Subject, m.Header), "secret") {
				t.Errorf("data shows in subject or headers: %s %v", m.Subject, m.Header)
			}
			got = append(got, outbox.Entry{Event: e, Position: p})
		}
		if len(got) == len(list) {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, got); diff != "" {
		t.Errorf("(-in +out):\n%s", diff)
	}
}
