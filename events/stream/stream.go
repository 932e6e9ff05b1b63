// Package stream is the event log: one JetStream stream that the relay alone writes to, fenced by the
// stream's own last sequence, and that anyone may follow from any point.
package stream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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

// Ensure makes the stream, or brings its settings up to date. On a cluster it keeps three copies. A stream
// that is as it should be is left alone: each update, also one that changes nothing, goes through the
// cluster's own log, and a server that comes back plays it again while it still opens its copy.
func (s *Stream) Ensure(ctx context.Context) error {
	if err := s.checkServer(); err != nil {
		return err
	}
	_, err := ask(ctx, s.ensure)
	if err != nil {
		s.leave(ctx, err)
		return fmt.Errorf("make the stream %s: %w", Name, err)
	}
	return nil
}

func (s *Stream) ensure(ctx context.Context) (jetstream.Stream, error) {
	st, err := s.js.Stream(ctx, Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.js.CreateStream(ctx, s.wanted(jetstream.StreamConfig{Name: Name}))
	}
	if err != nil {
		return nil, err
	}
	has := st.CachedInfo().Config
	if wanted := s.wanted(has); !reflect.DeepEqual(wanted, has) {
		return s.js.UpdateStream(ctx, wanted)
	}
	return st, nil
}

// wanted are a stream's settings with ours in place; the owner may have chosen a placement or a compression.
func (s *Stream) wanted(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Description = "PayAid events, written by the relay alone"
	c.Subjects = []string{events.SubjectPrefix + ">"}
	c.Storage = jetstream.FileStorage
	c.Retention = jetstream.LimitsPolicy
	c.Discard, c.DiscardNewPerSubject = jetstream.DiscardNew, false
	c.MaxAge = keptFor
	c.MaxBytes, c.MaxMsgs, c.MaxMsgSize, c.MaxMsgsPerSubject, c.MaxConsumers = -1, -1, -1, -1, -1
	c.Duplicates = 10 * time.Minute
	c.Replicas = s.replicas()
	c.NoAck = false
	c.DenyDelete, c.DenyPurge, c.AllowRollup = true, true, false
	c.AllowAtomicPublish = true
	return c
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
	st, err := s.lookUp(ctx)
	if err != nil {
		return outbox.Tail{}, err
	}
	last := outbox.Tail{Seq: st.CachedInfo().State.LastSeq}
	last.Position, last.Known, err = s.positionUpTo(ctx, st, last.Seq)
	return last, err
}

// Holds reports whether the relay's last message up to seq is the one written at p: a stream that was
// lost and made again holds something else there, or nothing.
func (s *Stream) Holds(ctx context.Context, seq uint64, p events.Position) (bool, error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return false, err
	}
	if seq > st.CachedInfo().State.LastSeq {
		return false, nil
	}
	got, ok, err := s.positionUpTo(ctx, st, seq)
	return ok && got == p, err
}

// mostForeign is how many messages of others in a row are looked past. Nobody but the relay should write
// to the stream, but a message once written can't be taken back, and must not stop the relay for ever.
const mostForeign = 1000

// positionUpTo reads the position of the relay's last message up to a sequence.
func (s *Stream) positionUpTo(ctx context.Context, st jetstream.Stream, seq uint64) (events.Position, bool, error) {
	state := st.CachedInfo().State
	if state.Msgs == 0 {
		return events.Position{}, false, nil
	}
	for at := seq; at >= max(state.FirstSeq, 1); at-- {
		if seq-at >= mostForeign {
			return events.Position{}, false, fmt.Errorf(
				"none of the messages %d to %d of the stream was written by the relay: find out who else writes to it", at+1, seq)
		}
		msg, err := read(ctx, st, at)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return events.Position{}, false, fmt.Errorf("read message %d of the stream: %w", at, err)
		}
		if p, err := events.ParsePosition(msg.Header.Get(positionHeader)); err == nil {
			return p, true, nil
		}
	}
	return events.Position{}, false, nil
}

// An Extent is how much the stream holds.
type Extent struct {
	First, Last, Messages, Bytes uint64
}

// Extent looks at how much the stream holds.
func (s *Stream) Extent(ctx context.Context) (Extent, error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return Extent{}, err
	}
	state := st.CachedInfo().State
	return Extent{First: state.FirstSeq, Last: state.LastSeq, Messages: state.Msgs, Bytes: state.Bytes}, nil
}

// State gives the first and the last sequence of the stream.
func (s *Stream) State(ctx context.Context) (first, last uint64, err error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return 0, 0, err
	}
	state := st.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// A Survey is what an operator should know of the stream and of the server that has it.
type Survey struct {
	First, Last      uint64
	Replicas, Wanted int       // copies that are kept, and that Ensure would have kept
	Behind           []string  // servers whose copy is away, or not up to date
	Alone            string    // the server that leads the stream, if it knows of no other copy, and should
	Kept             bool      // nobody can delete messages, nor purge the stream, and all are on disk
	ServerTime       time.Time // the zero time: the server doesn't tell
}

// Survey looks at the stream and at how it is kept. The error also tells that the server is too old.
func (s *Stream) Survey(ctx context.Context) (Survey, error) {
	if err := s.checkServer(); err != nil {
		return Survey{}, err
	}
	st, err := s.lookUp(ctx)
	if err != nil {
		return Survey{}, err
	}
	info := st.CachedInfo()
	c := info.Config
	return Survey{First: info.State.FirstSeq, Last: info.State.LastSeq, Replicas: c.Replicas, Wanted: s.replicas(),
		Behind: behind(info.Cluster), Alone: alone(info),
		Kept: c.Storage == jetstream.FileStorage && c.DenyDelete && c.DenyPurge, ServerTime: info.TimeStamp}, nil
}

// behind names the servers whose copy is away or not up to date. A server that is alone has no others.
func behind(c *jetstream.ClusterInfo) (list []string) {
	if c == nil {
		return nil
	}
	for _, peer := range c.Replicas {
		if peer.Offline || !peer.Current {
			list = append(list, peer.Name)
		}
	}
	return list
}

// alone names the server that leads the stream when it knows of none of the other copies. What it acknowledges may
// then be on its own disk alone.
func alone(i *jetstream.StreamInfo) string {
	if i.Config.Replicas == 1 || i.Cluster == nil || len(i.Cluster.Replicas) > 0 {
		return ""
	}
	return i.Cluster.Leader
}

// replicas is how many copies the stream has: three on a cluster.
func (s *Stream) replicas() int {
	if s.nc.ConnectedClusterName() != "" {
		return 3
	}
	return 1
}

// Ends gives the first sequence of the stream, and its last with the place in the outbox that it holds.
func (s *Stream) Ends(ctx context.Context) (first uint64, last outbox.Tail, err error) {
	st, err := s.lookUp(ctx)
	if err != nil {
		return 0, last, err
	}
	state := st.CachedInfo().State
	last.Seq = state.LastSeq
	last.Position, last.Known, err = s.positionUpTo(ctx, st, last.Seq)
	return state.FirstSeq, last, err
}

// EventIDs calls each with the id of every event that the stream holds, oldest first.
func (s *Stream) EventIDs(ctx context.Context, each func(id string)) error {
	st, err := s.lookUp(ctx)
	if err != nil {
		return err
	}
	state := st.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	consumer, err := s.js.OrderedConsumer(ctx, Name, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("read the ids of the stream %s: %w", Name, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read the ids of the stream %s: %w", Name, err)
	}
	defer messages.Stop()
	for seq := uint64(0); seq < state.LastSeq; {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read the ids of the stream %s behind %d: %w", Name, seq, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read the ids of the stream %s behind %d: %w", Name, seq, err)
		}
		each(m.Headers().Get("ce-id"))
		seq = meta.Sequence.Stream
	}
	return nil
}
