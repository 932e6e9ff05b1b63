package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
)

// A Place is where a message is in the stream, and since when.
type Place struct {
	Seq uint64
	At  time.Time
}

// A Head is what a message says of itself.
type Head struct {
	Place
	EventID  string
	Position events.Position
}

// ErrNoMessage means that the stream has no message of a sequence: not yet, or no longer.
var ErrNoMessage = errors.New("the stream has no such message")

// Head reads a message without its content.
func (s *Stream) Head(ctx context.Context, seq uint64) (Head, error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return Head{}, err
	}
	return headOf(ctx, st, seq)
}

func headOf(ctx context.Context, st jetstream.Stream, seq uint64) (Head, error) {
	msg, err := read(ctx, st, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Head{}, fmt.Errorf("read message %d of the stream: %w", seq, ErrNoMessage)
	}
	if err != nil {
		return Head{}, fmt.Errorf("read message %d of the stream: %w", seq, err)
	}
	h := Head{Place: Place{Seq: msg.Sequence, At: msg.Time}, EventID: msg.Header.Get("ce-id")}
	if p, err := events.ParsePosition(msg.Header.Get(positionHeader)); err == nil {
		h.Position = p
	}
	return h, nil
}

// Find looks for events by their places in the outbox's life that is called epoch, its present one. It reads some
// twenty messages for an event that lies anywhere, as the stream is in the order of the outbox, and one or two for those
// that lie close behind another. The places are in the order of the list; one that wasn't found, or not before ctx ended,
// has a Seq of 0.
func (s *Stream) Find(ctx context.Context, epoch string, list []events.Position) ([]Place, error) {
	found := make([]Place, len(list))
	st, err := s.lookUp(ctx)
	if err != nil {
		return found, err
	}
	state := st.CachedInfo().State
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if list[b].After(list[a]) {
			return -1
		}
		return 1
	})
	from := max(state.FirstSeq, 1)
	for _, i := range order {
		h, err := search(ctx, st, epoch, list[i], from, state.LastSeq)
		if ctx.Err() != nil {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if h.Seq == 0 {
			break // it lies behind the end, as do the rest
		}
		from = h.Seq
		if h.Position.XID == list[i].XID && h.Position.ID == list[i].ID {
			found[i] = h.Place
		}
	}
	return found, nil
}

// search finds the first message at or behind a place, from a sequence on: in steps that double, then by halves.
func search(ctx context.Context, st jetstream.Stream, epoch string, want events.Position, from, last uint64) (Head, error) {
	reached := func(seq uint64) (Head, bool, error) {
		h, err := headOf(ctx, st, seq)
		if errors.Is(err, ErrNoMessage) {
			err = nil
		}
		return h, h.Position.Epoch == epoch && !want.After(h.Position), err
	}
	low, high := from, last+1 // all before low lie before the place; high is at it or behind it
	var best Head
	for step := uint64(1); low < high; step *= 2 {
		at := min(low+step-1, high-1)
		h, is, err := reached(at)
		if err != nil {
			return Head{}, err
		}
		if is {
			best, high = h, at
			break
		}
		low = at + 1
	}
	for low < high {
		middle := low + (high-low)/2
		h, is, err := reached(middle)
		if err != nil {
			return Head{}, err
		}
		if is {
			best, high = h, middle
		} else {
			low = middle + 1
		}
	}
	return best, nil
}

// A Holding is how much the stream holds, and how it is kept.
type Holding struct {
	Extent
	FirstAt, LastAt time.Time
	MaxAge          time.Duration
	Replicas        int
}

// Holding looks at how much the stream holds, and how.
func (s *Stream) Holding(ctx context.Context) (Holding, error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return Holding{}, err
	}
	info := st.CachedInfo()
	return Holding{Extent: Extent{First: info.State.FirstSeq, Last: info.State.LastSeq, Messages: info.State.Msgs, Bytes: info.State.Bytes},
		FirstAt: info.State.FirstTime, LastAt: info.State.LastTime, MaxAge: info.Config.MaxAge, Replicas: info.Config.Replicas}, nil
}
