package operator

import "time"

// An Event is a fact as the outbox has it, without what it says.
type Event struct {
	ID             string    `json:"id"`
	Type           string    `json:"type"`
	OrganizationID string    `json:"organization_id"`
	Subject        string    `json:"subject" doc:"Id of what it is about"`
	Version        int64     `json:"version" doc:"Of what it is about, after it"`
	CausationID    *string   `json:"causation_id" doc:"The event that led to it"`
	RequestID      *string   `json:"request_id" doc:"The request at the head of the chain"`
	TraceID        *string   `json:"trace_id"`
	Route          *string   `json:"route" doc:"Of the request that stated it; null: none did"`
	KeyID          *string   `json:"key_id" doc:"Of the API key of that request"`
	Position       string    `json:"position" doc:"In the outbox: transaction and number"`
	CreatedAt      time.Time `json:"created_at"`
}

// EventList is a part of the outbox, newest first.
type EventList struct {
	Data       []Event `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool    `json:"has_more"`
}

// An EventDetail is one event with how far it has come.
type EventDetail struct {
	Event
	Seq         *int64     `json:"seq" doc:"Of its message in the event stream; null: it isn't there, or the stream does not answer"`
	PublishedAt *time.Time `json:"published_at"`
	Routed      bool       `json:"routed" doc:"The router has started what it starts"`
	Content     Object     `json:"content" doc:"What it says; null unless it was revealed"`
}

// EventsState is how facts flow from the outbox through the stream to the router.
type EventsState struct {
	At           time.Time     `json:"at"`
	Outbox       OutboxState   `json:"outbox"`
	Stream       StreamState   `json:"stream"`
	Relay        ReaderState   `json:"relay"`
	Router       ReaderState   `json:"router"`
	Dead         int           `json:"dead" doc:"Events that could not be routed, and were not redriven; 1000 at most"`
	Problems     []FlowProblem `json:"problems" doc:"What is wrong, the worst first"`
	StalledSince *time.Time    `json:"stalled_since" doc:"A transaction is open since then, behind which nothing can be published"`
}

// OutboxState is how much the outbox holds.
type OutboxState struct {
	Epoch       string     `json:"epoch" doc:"Names one life of the outbox: positions are comparable within it"`
	EpochAt     time.Time  `json:"epoch_at"`
	EpochReason string     `json:"epoch_reason"`
	Days        int        `json:"days" doc:"For which it has room"`
	NewestAt    *time.Time `json:"newest_at"`
}

// StreamState is how much the event stream holds.
type StreamState struct {
	Answers  bool       `json:"answers" doc:"false: NATS is away, and nothing of this is known"`
	First    int64      `json:"first" doc:"Sequence"`
	Last     int64      `json:"last"`
	Messages int64      `json:"messages"`
	Bytes    int64      `json:"bytes"`
	FirstAt  *time.Time `json:"first_at"`
	LastAt   *time.Time `json:"last_at"`
	KeptFor  string     `json:"kept_for"`
	Replicas int        `json:"replicas"`
}

// ReaderState is how far a reader of the outbox has come.
type ReaderState struct {
	Process  *string    `json:"process" doc:"Who does it now, as it names itself to Postgres; null: nobody"`
	Position *string    `json:"position" doc:"In the outbox; null: unknown"`
	Seq      *int64     `json:"seq" doc:"In the stream"`
	MovedAt  *time.Time `json:"moved_at"`
	Waiting  int        `json:"waiting" doc:"Events behind it; 1000 at most"`
	OldestAt *time.Time `json:"oldest_at" doc:"Of those"`
}

// FlowProblem is something that keeps facts from flowing.
type FlowProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail" doc:"What it means, and what to do"`
}

// A DeadEvent is a message that the router could not carry out.
type DeadEvent struct {
	ID         int64      `json:"id"`
	Consumer   string     `json:"consumer"`
	Seq        int64      `json:"seq" doc:"Of the message in the stream"`
	Subject    string     `json:"subject" doc:"Of the message"`
	EventID    *string    `json:"event_id"`
	Reason     string     `json:"reason"`
	Size       int        `json:"size" doc:"Of its content, in bytes"`
	ReceivedAt time.Time  `json:"received_at"`
	RedrivenAt *time.Time `json:"redriven_at"`
}

// DeadEventList is a part of the dead events, newest first.
type DeadEventList struct {
	Data       []DeadEvent `json:"data"`
	NextCursor *string     `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool        `json:"has_more"`
}

// Redrive says which dead events are to be routed after all.
type Redrive struct {
	IDs []int64 `json:"ids,omitempty" maxItems:"1000" doc:"Left out: see all"`
	All bool    `json:"all,omitempty" doc:"All that were not redriven yet, 10000 at most"`
}

// Redriven is what came of it.
type Redriven struct {
	Done   int             `json:"done"`
	Failed []RedriveFailed `json:"failed" doc:"They are as they were"`
}

// RedriveFailed is a dead event that stays dead.
type RedriveFailed struct {
	ID     int64  `json:"id"`
	Reason string `json:"reason"`
}

// A Replay says what is to be started again.
type Replay struct {
	Since          time.Time  `json:"since" doc:"The outbox keeps a week"`
	Until          *time.Time `json:"until,omitempty" doc:"As the dry run answered it, so that nothing is started that it did not count; left out of a dry run: now"`
	Types          []string   `json:"types,omitempty" maxItems:"50" doc:"Of events; left out: all"`
	OrganizationID string     `json:"organization_id,omitempty" doc:"Left out: of all"`
	DryRun         bool       `json:"dry_run,omitempty" doc:"Only count"`
}

// Replayed says what routing events again starts, or has started.
type Replayed struct {
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until" doc:"Events from then on are left alone"`
	Events  int            `json:"events" doc:"That were looked at"`
	Jobs    map[string]int `json:"jobs" doc:"That it starts, by kind. Jobs that clients asked for and that are done, or in hand, are none"`
	Total   int            `json:"total"`
	Started *int           `json:"started" doc:"null: nothing was, it was only counted"`
}
