package inference

import (
	"fmt"
	"time"
)

// The outcomes of an attempt. All but OK are also classes of an [Error]; the
// package's documentation has the table of what each leads to.
const (
	OK            = "ok"
	Unavailable   = "unavailable"
	Timeout       = "timeout"
	Truncated     = "truncated"
	Server        = "server"
	Overloaded    = "overloaded"
	QueueFull     = "queue_full"
	BreakerOpen   = "breaker_open"
	Misconfigured = "misconfigured"
	Auth          = "auth"
	Unsupported   = "unsupported"
	TooLarge      = "too_large"
	Request       = "request"
	SchemaInvalid = "schema_invalid"
	Length        = "length"
	OutOfBudget   = "out_of_budget"
	Unchecked     = "budget_unknown"
	Cancelled     = "cancelled"
)

// verdict is what the caller of Answer should do about an error.
type verdict int

const (
	stop verdict = iota // the context ended
	fail
	wait
)

// Error is why there is no answer. It is one of three: [Error.Permanent],
// [Error.Wait], or the end of the caller's context, which errors.Is finds.
type Error struct {
	Class    string // one of the outcomes above
	Provider string // who failed last; "" if none was asked
	// Detail is a sentence for the client if the error is permanent. It holds
	// nothing of the prompt, the answer or a key.
	Detail string
	// Pointer is the place of the mistake in the prompt's schema, as a JSON
	// pointer; "" otherwise.
	Pointer string
	// RetryAfter is how long to wait, without jitter; set if Wait.
	RetryAfter time.Duration
	Attempts   []Attempt
	// Partial is the text of an answer that was refused: invalid by its schema,
	// or cut. It is the tenant's text, and no part of Error().
	Partial string

	verdict verdict
	cause   error
}

// Error says the class and the sentence.
func (e *Error) Error() string {
	if e.Provider == "" {
		return fmt.Sprintf("answer prompt: %s: %s", e.Class, e.Detail)
	}
	return fmt.Sprintf("answer prompt: %s: %s: %s", e.Provider, e.Class, e.Detail)
}

// Unwrap gives the context's error, if that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// Permanent says that the same prompt would fail again: by the client's
// mistake, or because no model gives what was asked for. Class is the code and
// Detail the sentence for the client.
func (e *Error) Permanent() bool { return e.verdict == fail }

// Wait says that the prompt may be answered later: no provider could be
// reached, or none has room. Ask again after RetryAfter.
func (e *Error) Wait() bool { return e.verdict == wait }

// Reason is a sentence for the owner and the client of a prompt that waits: who
// is away, and what the owner can do.
func (e *Error) Reason() string { return e.Detail }
