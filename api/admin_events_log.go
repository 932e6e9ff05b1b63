package api

import (
	"context"
	"time"

	"github.com/payaid/payaid/events"
)

// An EventLog is the event stream, for what shows the operator where events are in it.
type EventLog interface {
	// Message reads what a message of the stream says of itself; store.ErrNotFound: there is none.
	Message(ctx context.Context, seq uint64) (LoggedMessage, error)
	// Places finds events by their positions in the outbox, all of its present life. They are answered in the order in
	// which they were asked for, with a Seq of 0 where the stream doesn't hold one, or ctx ended before it was found.
	Places(ctx context.Context, list []events.Position) ([]LoggedPlace, error)
	// Extent looks at how much the stream holds.
	Extent(ctx context.Context) (LogExtent, error)
}

// A LoggedMessage is a message of the stream.
type LoggedMessage struct {
	LoggedPlace
	EventID  string
	Position events.Position
}

// A LoggedPlace is where an event is in the stream, and since when.
type LoggedPlace struct {
	Seq uint64
	At  time.Time
}

// A LogExtent is how much the stream holds, and how it is kept.
type LogExtent struct {
	First, Last, Messages, Bytes uint64
	FirstAt, LastAt              time.Time
	MaxAge                       time.Duration
	Replicas                     int
	Position                     *events.Position // of the last message; nil: nobody knows
}
