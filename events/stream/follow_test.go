package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
)

var errEnough = errors.New("enough")

func TestFollowIsInOrderFromAnywhere(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	seq := publish(t, s, 0, entries(0, 300))
	for _, from := range []uint64{1, 2, 157, 300, 301} {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			t.Parallel()
			follow(t, s, from, 301, 50)
		})
	}
	publish(t, s, seq, entries(300, 1)) // before they begin
}

// follow wants every message between two, in order, so many at a time.
func follow(t *testing.T, s *stream.Stream, from, to uint64, atMost int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next := from
	err := s.Follow(ctx, from, atMost, func(batch []stream.Message) error {
		if len(batch) > atMost {
			return fmt.Errorf("%d messages at once, want %d at most", len(batch), atMost)
		}
		for _, m := range batch {
			if m.Seq != next {
				return fmt.Errorf("got message %d, want %d", m.Seq, next)
			}
			next++
		}
		if next > to {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%v (read up to %d)", err, next-1)
	}
}

// A follower far behind must not fall silent on the way.
func TestFollowCatchesUp(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	seq := uint64(0)
	for range 12 {
		seq = publish(t, s, seq, entries(int(seq), 500))
	}
	follow(t, s, 2, seq, 50)
	follow(t, s, 1, seq, 500)
}

func TestFollowEndsQuietly(t *testing.T) {
	s, nc := open(t, localstack.NewNATS(t).URL())
	publish(t, s, 0, entries(0, 200))
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Follow(ctx, 1, 10, func([]stream.Message) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the end of the context", err)
	}
	err = s.Follow(t.Context(), 1, 10, func([]stream.Message) error { return errEnough })
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	nc.Close()
}

// A follower of a stream that became shorter would wait for ever for what it has seen already.
func TestFollowNoticesLostEnd(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	publish(t, s, 0, entries(0, 20))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := s.Follow(ctx, 50, 10, func([]stream.Message) error { return nil })
	if err == nil || ctx.Err() != nil {
		t.Fatalf("got %v, want to hear that the end was lost", err)
	}
}

func FuzzMessageEvent(f *testing.F) {
	e := entries(7, 1)[0]
	for name, value := range e.Event.Headers() {
		f.Add(name, value, e.Position.String(), []byte(`{}`))
	}
	f.Add("ce-time", "2024-02-30T00:00:00Z", "e/1/2", []byte(`{`))
	f.Add("ce-aggregateversion", "-1", "e/18446744073709551615/9223372036854775807", []byte(`null`))
	f.Add("ce-id", "", "//", []byte{})
	f.Fuzz(func(t *testing.T, name, value, position string, body []byte) {
		headers := nats.Header{"Payaid-Outbox-Position": {position}}
		for n, v := range e.Event.Headers() {
			headers[n] = []string{v}
		}
		headers[name] = []string{value}
		got, p, err := stream.Message{Header: headers, Body: body}.Event()
		if err != nil {
			if !errors.Is(err, events.ErrNotAnEvent) {
				t.Fatalf("%v is not marked as a fault of the message", err)
			}
			return
		}
		again, err := events.ParseHeaders(func(n string) string { return got.Headers()[n] }, got.Data)
		if err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		if again.ID != got.ID || !again.Time.Equal(got.Time) || again.AggregateVersion != got.AggregateVersion {
			t.Fatalf("read %+v, then %+v", got, again)
		}
		if q, err := events.ParsePosition(p.String()); err != nil || q != p {
			t.Fatalf("position %v became %v: %v", p, q, err)
		}
	})
}
