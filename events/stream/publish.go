package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

// An atomic batch costs several milliseconds whatever its size; below this many messages it is quicker
// to sync each by itself.
const singles = 8

// publishTimeout bounds a whole publish. A synced batch of 500 takes about 30 ms, a disk that stalls
// takes seconds; whoever waits longer does better to look what was stored. Of what a server had in hand
// when it died no word will come, and within as much time a cluster elects another.
const publishTimeout = 5 * time.Second

// Publish implements outbox.Log: few entries each by itself, more as one atomic batch.
func (s *Stream) Publish(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	seq, err := s.publish(ctx, after, entries)
	if err != nil {
		s.leave(ctx, err)
	}
	return seq, err
}

func (s *Stream) publish(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ctx, done := s.whileConnected(ctx)
	defer done()
	if len(entries) <= singles {
		return s.publishEach(ctx, after, entries)
	}
	return s.publishBatch(ctx, after, entries)
}

var errDisconnected = errors.New("the connection to NATS was lost")

// whileConnected ends the context when the connection breaks: an answer that was under way is lost with
// it, and would be waited for in vain.
func (s *Stream) whileConnected(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	broken := s.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-broken:
			cancel(errDisconnected)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
		s.nc.RemoveStatusListener(broken)
	}
}

// publishEach sends the messages without waiting in between. Each names the sequence and the id of the
// one before, so that after a lost one none is stored. The sequence alone would not do: were it taken by
// somebody else, the first would be refused and the second fit behind the stranger.
func (s *Stream) publishEach(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	futures := make([]jetstream.PubAckFuture, 0, len(entries))
	for i, entry := range entries {
		options := []jetstream.PublishOpt{jetstream.WithExpectLastSequence(after + uint64(i)), jetstream.WithRetryAttempts(0)}
		if i > 0 {
			options = append(options, jetstream.WithExpectLastMsgID(messageID(entries[i-1])))
		}
		f, err := s.js.PublishMsgAsync(message(entry), options...)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", outbox.ErrUncertain, err)
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			if ack.Duplicate {
				return 0, fmt.Errorf("%w: event %s was stored before, at %d", outbox.ErrFenced, entries[i].Event.ID, ack.Sequence)
			}
		case err := <-f.Err():
			return 0, publishError(err)
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", outbox.ErrUncertain, context.Cause(ctx))
		}
	}
	return after + uint64(len(entries)), nil
}

// publishBatch stores all the messages or none, with one sync of the disk (ADR-50 of NATS). The
// protocol is three headers; the server answers the message that commits.
func (s *Stream) publishBatch(ctx context.Context, after uint64, entries []outbox.Entry) (uint64, error) {
	batch := uuid.NewString()
	for i, entry := range entries {
		msg := message(entry)
		msg.Header.Set("Nats-Batch-Id", batch)
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i == 0 {
			msg.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(after, 10))
		}
		if i < len(entries)-1 {
			if err := s.nc.PublishMsg(msg); err != nil {
				return 0, fmt.Errorf("%w: %w", outbox.ErrUncertain, err)
			}
			continue
		}
		msg.Header.Set("Nats-Batch-Commit", "1")
		reply, err := s.nc.RequestMsgWithContext(ctx, msg)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %w", outbox.ErrUncertain, err)
		}
		return batchAnswer(reply.Data, after+uint64(len(entries)))
	}
	return after, nil
}

func batchAnswer(data []byte, want uint64) (uint64, error) {
	var answer struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return 0, fmt.Errorf("%w: read the answer to a batch: %w", outbox.ErrUncertain, err)
	}
	if answer.Error != nil {
		return 0, publishError(answer.Error)
	}
	if answer.Seq != want {
		return 0, fmt.Errorf("%w: the batch ends at %d, want %d", outbox.ErrUncertain, answer.Seq, want)
	}
	return answer.Seq, nil
}

// Error codes of the server (errors.json in nats-server).
const (
	wrongLastMessage          = 10070
	wrongLastSequence         = 10071
	wrongLastSequenceConstant = 10164
	batchHasDuplicate         = 10201
)

// publishError sorts what the server answers: a wrong last sequence or a message that is there already
// means that somebody else wrote; anything else leaves open what was stored.
func publishError(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case wrongLastMessage, wrongLastSequence, wrongLastSequenceConstant, batchHasDuplicate:
			return fmt.Errorf("%w: %w", outbox.ErrFenced, err)
		}
	}
	return fmt.Errorf("%w: %w", outbox.ErrUncertain, err)
}

func message(entry outbox.Entry) *nats.Msg {
	msg := nats.NewMsg(events.Subject(entry.Event.Type))
	for name, value := range entry.Event.Headers() {
		msg.Header.Set(name, value)
	}
	msg.Header.Set(jetstream.MsgIDHeader, messageID(entry))
	msg.Header.Set(positionHeader, entry.Position.String())
	msg.Data = entry.Event.Data
	return msg
}

// messageID is what the server knows a message by for some minutes. An event that is published anew in another life
// of the outbox is another message: the server would refuse it as one that it has.
func messageID(entry outbox.Entry) string { return entry.Event.ID + "/" + entry.Position.Epoch }
