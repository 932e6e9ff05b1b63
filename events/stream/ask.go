package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// While the stream of a cluster has no leader, nobody answers what is asked about it, and nobody does
	// so later: when one has been elected, only who asks again hears from it.
	askEvery = time.Second
	// A server whose disk stalls takes seconds, and is still there.
	askAtMost = 5 * time.Second
)

// ask sends a request that may be repeated until it is answered, for some seconds in all. The last try
// has the most time.
func ask[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askAtMost)
	defer cancel()
	for {
		answer, err := try(ctx, request)
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
	}
}

func try[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) > 2*askEvery {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askEvery)
		defer cancel()
	}
	return request(ctx)
}

// lookUp asks the stream's leader how the stream is.
func (s *Stream) lookUp(ctx context.Context) (jetstream.Stream, error) {
	st, err := ask(ctx, func(ctx context.Context) (jetstream.Stream, error) { return s.js.Stream(ctx, Name) })
	if err != nil {
		s.leave(ctx, err)
		return nil, fmt.Errorf("look up the stream %s: %w", Name, err)
	}
	return st, nil
}

// Leave goes to another server of the cluster, and is false where there is no other. A server that is cut
// off from the rest holds our connection as if all were well, and goes on telling what it knew.
func (s *Stream) Leave() bool {
	return len(s.nc.Servers()) > 1 && s.nc.ForceReconnect() == nil
}

// leave is for a server that gave no answer in time.
func (s *Stream) leave(ctx context.Context, err error) {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		s.Leave()
	}
}

// read gets a message from the stream's leader.
func read(ctx context.Context, st jetstream.Stream, seq uint64) (*jetstream.RawStreamMsg, error) {
	return ask(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return st.GetMsg(ctx, seq) })
}
