package outbox

import (
	"context"
	"errors"

	"github.com/payaid/payaid/events"
)

// An Entry is an event and its place in the outbox.
type Entry struct {
	Event    events.Envelope
	Position events.Position
}

// maxBatch is how many entries are published at once.
const maxBatch = 500

// A Log is where the relay writes: the event stream.
type Log interface {
	// Ensure makes the log if it isn't there.
	Ensure(context.Context) error
	// Tail reads the end of the log.
	Tail(context.Context) (Tail, error)
	// Publish appends entries behind the message with the given sequence, and returns the sequence of
	// the last one. Either the log ended with after, or ErrFenced comes back. When ErrUncertain comes
	// back, some of the entries may have been stored, in order and without a gap.
	Publish(ctx context.Context, after uint64, entries []Entry) (uint64, error)
}

// A Tail describes the end of the log.
type Tail struct {
	Seq      uint64          // of the last message, 0 in an empty log
	Position events.Position // where the relay stood when it wrote it
	Known    bool            // false when the log is empty or its last message has aged out
}

// ErrFenced means that the log's last message is not the one that the publisher built upon: another
// relay has written.
var ErrFenced = errors.New("another relay has written to the stream")

// ErrUncertain means that the answer to a publish was lost. Read Tail to learn what was stored.
var ErrUncertain = errors.New("the stream did not confirm the publish")
