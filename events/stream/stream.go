// Package stream is the event log: one JetStream stream that the relay alone writes to, fenced by the
// stream's own last sequence, and that anyone may follow from any point.
package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

// Name of the stream.
const Name = "EVENTS"

// positionHeader carries the outbox coordinates of a message, so that the stream itself says how far
// the relay has come, and no second store can disagree with it.
const positionHeader = "Payaid-Outbox-Position"

// keptFor is how long the stream keeps an event. It is longer than the outbox's week, so that the last
// event of a quiet system is still there to continue from.
const keptFor = 30 * 24 * time.Hour

// Older servers sync every message of an atomic batch by itself, six to twelve times slower.
const minServer = "2.15.0"

// Stream is a connection to the event log.
type Stream struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// Open uses a connection; call Ensure before the first publish on a new server.
func Open(nc *nats.Conn) (*Stream, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &Stream{nc: nc, js: js}, nil
}

// Ensure makes the stream, or brings its settings up to date. On a cluster it keeps three copies.
func (s *Stream) Ensure(ctx context.Context) error {
	if err := s.checkServer(); err != nil {
		return err
	}
	replicas := 1
	if s.nc.ConnectedClusterName() != "" {
		replicas = 3
	}
	_, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:               Name,
		Description:        "PayAid events, written by the relay alone",
		Subjects:           []string{events.SubjectPrefix + ">"},
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		MaxAge:             keptFor,
		MaxBytes:           -1,
		MaxMsgs:            -1,
		MaxMsgSize:         -1,
		Duplicates:         10 * time.Minute,
		Replicas:           replicas,
		DenyDelete:         true,
		DenyPurge:          true,
		AllowAtomicPublish: true,
	})
	if err != nil {
		return fmt.Errorf("make the stream %s: %w", Name, err)
	}
	return nil
}

func (s *Stream) checkServer() error {
	if v := s.nc.ConnectedServerVersion(); v != "" && olderThan(v, minServer) {
		return fmt.Errorf("the NATS server is %s; install %s or newer (older ones sync every message of a batch by itself)", v, minServer)
	}
	return nil
}

func olderThan(version, least string) bool {
	have, want := versionNumbers(version), versionNumbers(least)
	return slices.Compare(have, want) < 0
}

func versionNumbers(v string) []int {
	v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), "-")
	var numbers []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = 0
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// Tail reads the end of the stream. It asks the stream's leader, as a follower may lag.
func (s *Stream) Tail(ctx context.Context) (outbox.Tail, error) {
	st, err := s.js.Stream(ctx, Name)
	if err != nil {
		return outbox.Tail{}, fmt.Errorf("look up the stream %s: %w", Name, err)
	}
	state := st.CachedInfo().State
	last := outbox.Tail{Seq: state.LastSeq}
	if state.Msgs == 0 {
		return last, nil
	}
	p, ok, err := s.positionAt(ctx, st, state.LastSeq)
	if err != nil {
		return last, err
	}
	last.Position, last.Known = p, ok
	return last, nil
}

// Holds reports whether the message at seq is the one written at p: a stream that was lost and made
// again holds something else there, or nothing.
func (s *Stream) Holds(ctx context.Context, seq uint64, p events.Position) (bool, error) {
	st, err := s.js.Stream(ctx, Name)
	if err != nil {
		return false, fmt.Errorf("look up the stream %s: %w", Name, err)
	}
	got, ok, err := s.positionAt(ctx, st, seq)
	return ok && got == p, err
}

func (s *Stream) positionAt(ctx context.Context, st jetstream.Stream, seq uint64) (events.Position, bool, error) {
	msg, err := st.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return events.Position{}, false, nil
	}
	if err != nil {
		return events.Position{}, false, fmt.Errorf("read message %d of the stream: %w", seq, err)
	}
	p, err := events.ParsePosition(msg.Header.Get(positionHeader))
	if err != nil {
		return events.Position{}, false, fmt.Errorf("message %d of the stream was not written by the relay: %w", seq, err)
	}
	return p, true, nil
}

// State gives the first and the last sequence of the stream.
func (s *Stream) State(ctx context.Context) (first, last uint64, err error) {
	st, err := s.js.Stream(ctx, Name)
	if err != nil {
		return 0, 0, fmt.Errorf("look up the stream %s: %w", Name, err)
	}
	state := st.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}
