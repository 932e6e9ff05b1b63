package stream_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/stream"
)

func TestFind(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	list := entries(0, 1200)
	var seq uint64
	for part := range slices.Chunk(list, 400) {
		seq = publish(t, s, seq, part)
	}
	epoch := list[0].Position.Epoch
	// Out of order, close together and far apart; one that never was, between two that were, and one behind the end.
	var wanted []events.Position
	var want []uint64
	for _, i := range []int{700, 3, 4, 5, 1199, 0, 640} {
		wanted, want = append(wanted, list[i].Position), append(want, uint64(i+1))
	}
	never, beyond := list[500].Position, list[1199].Position
	never.ID, beyond.XID = never.ID+1_000_000, beyond.XID+5
	if !list[1199].Position.After(never) {
		never = events.Position{Epoch: epoch, XID: list[0].Position.XID, ID: -1}
	}
	wanted, want = append(wanted, never, beyond), append(want, 0, 0)
	found, err := s.Find(t.Context(), epoch, wanted)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range found {
		if p.Seq != want[i] || p.Seq > 0 && time.Since(p.At) > time.Minute {
			t.Errorf("%s: found at %d (%s), want %d", wanted[i], p.Seq, p.At, want[i])
		}
	}
	// Of another life nothing is found, and who has no more time gets what there is.
	if found, err := s.Find(t.Context(), "another", wanted); err != nil || slices.ContainsFunc(found, func(p stream.Place) bool { return p.Seq > 0 }) {
		t.Errorf("in another epoch found %v, %v", found, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Find(ended, epoch, wanted); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	s, _ := open(t, newServer(t))
	list := entries(0, 3)
	publish(t, s, 0, list)
	h, err := s.Head(t.Context(), 2)
	if err != nil || h.EventID != list[1].Event.ID || h.Position != list[1].Position || h.Seq != 2 {
		t.Errorf("got %+v, %v", h, err)
	}
	if _, err := s.Head(t.Context(), 4); !errors.Is(err, stream.ErrNoMessage) {
		t.Errorf("behind the end: %v, want %v", err, stream.ErrNoMessage)
	}
	held, err := s.Holding(t.Context())
	if err != nil || held.First != 1 || held.Last != 3 || held.Messages != 3 || held.Bytes == 0 || held.MaxAge == 0 || held.LastAt.Before(held.FirstAt) {
		t.Errorf("holds %+v, %v", held, err)
	}
}
