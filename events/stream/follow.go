package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
)

// A Message is one entry of the stream as a consumer gets it.
type Message struct {
	Seq     uint64
	Subject string
	Header  nats.Header
	Body    []byte
}

// Event reads the message as an event and its place in the outbox. What it finds wrong wraps
// events.ErrNotAnEvent.
func (m Message) Event() (events.Envelope, events.Position, error) {
	p, err := events.ParsePosition(m.Header.Get(positionHeader))
	if err != nil {
		return events.Envelope{}, p, fmt.Errorf("%w: %w", events.ErrNotAnEvent, err)
	}
	e, err := events.ParseHeaders(func(name string) string {
		if v := m.Header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}, m.Body)
	return e, p, err
}

const (
	// A silent consumer is asked about after this long: servers and clients have been seen to stop
	// delivering in the middle of a backlog.
	silence = time.Second
	// So often in a row a consumer that has fallen silent is made anew before the follower hears of it.
	mostStalls = 5
)

// Follow calls deliver with the messages from the sequence from on, in order and without a gap, up to
// atMost at a time, until ctx ends, deliver returns an error, or the connection was lost: what is there
// after that may be another stream, and its follower must look. In silence deliver is called with none
// every second, so that a follower can show that it lives. It keeps no state in the server: whoever
// follows remembers by itself how far it has come. Acknowledgements of JetStream are written late and
// lost with a crash, so they could not be relied on anyway.
func (s *Stream) Follow(ctx context.Context, from uint64, atMost int, deliver func([]Message) error) error {
	lost := s.nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer s.nc.RemoveStatusListener(lost)
	f := following{stream: s, next: from, atMost: atMost, lost: lost, deliver: deliver}
	for stalls := 0; ; stalls++ {
		before := f.next
		err := f.consume(ctx)
		if f.next > before {
			stalls = 0
		}
		if !errors.Is(err, errStalled) || stalls >= mostStalls {
			return err
		}
	}
}

// errStalled means that the consumer delivers nothing though there is more.
var errStalled = errors.New("the consumer has fallen silent")

// following is one call of Follow.
type following struct {
	stream  *Stream
	next    uint64 // sequence
	begun   bool
	atMost  int
	arrived chan Message
	lost    <-chan nats.Status
	deliver func([]Message) error
}

// consume delivers from one consumer.
func (f *following) consume(ctx context.Context) error {
	from := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.next}
	consumer, err := ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return f.stream.js.OrderedConsumer(ctx, Name, from)
	})
	if err != nil {
		return fmt.Errorf("follow the stream %s from %d: %w", Name, f.next, err)
	}
	arrived := make(chan Message, 2*f.atMost)
	stopped := make(chan struct{})
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return // not from the stream
		}
		select {
		case arrived <- Message{Seq: meta.Sequence.Stream, Subject: m.Subject(), Header: m.Headers(), Body: m.Data()}:
		case <-stopped:
		}
	}, jetstream.PullMaxMessages(2*f.atMost))
	if err != nil {
		return fmt.Errorf("follow the stream %s from %d: %w", Name, f.next, err)
	}
	defer func() {
		consuming.Stop()
		close(stopped)
		<-consuming.Closed()
	}()
	f.arrived = arrived
	return f.run(ctx)
}

func (f *following) run(ctx context.Context) error {
	watchdog := time.NewTimer(silence)
	defer watchdog.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case status := <-f.lost:
			return fmt.Errorf("follow the stream: the connection is %s", strings.ToLower(status.String()))
		case <-watchdog.C:
			if err := f.stream.checkSilence(ctx, f.next); err != nil {
				return err
			}
			if err := f.deliver(nil); err != nil {
				return err
			}
		case first := <-f.arrived:
			if err := f.take(first); err != nil {
				return err
			}
		}
		watchdog.Reset(silence)
	}
}

// take delivers a message and those that have come behind it.
func (f *following) take(first Message) error {
	batch := drain([]Message{first}, f.atMost, f.arrived)
	if !f.begun {
		// The beginning of a stream ages out, so the first message may lie ahead.
		f.next, f.begun = max(f.next, first.Seq), true
	}
	if err := contiguous(f.next, batch); err != nil {
		return err
	}
	f.next = batch[len(batch)-1].Seq + 1
	return f.deliver(batch)
}

func drain(batch []Message, atMost int, arrived <-chan Message) []Message {
	for len(batch) < atMost {
		select {
		case m := <-arrived:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

func contiguous(next uint64, batch []Message) error {
	for _, m := range batch {
		if m.Seq != next {
			return fmt.Errorf("follow the stream: got message %d, want %d", m.Seq, next)
		}
		next++
	}
	return nil
}

func (s *Stream) checkSilence(ctx context.Context, next uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*silence)
	defer cancel()
	_, last, err := s.State(ctx)
	if err != nil {
		return err
	}
	if last+1 < next {
		return fmt.Errorf("follow the stream: it ends at %d and is read up to %d: its end was lost", last, next-1)
	}
	if last >= next {
		return fmt.Errorf("follow the stream: %w: nothing came for %s, but it goes on to %d beyond %d", errStalled, silence, last, next-1)
	}
	return nil
}
