package inference

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// Mode says what a prompt's caller prefers when Ollama is slow.
type Mode string

const (
	// Interactive moves on to Groq when Ollama is slow. It is the default.
	Interactive Mode = "interactive"
	// Relaxed gives Ollama minutes, and asks Groq only when Ollama failed. On a
	// machine without a GPU this is the mode that saves money.
	Relaxed Mode = "relaxed"
)

// Tier names a class of models rather than a model.
type Tier string

const (
	// Fast is the tier of a prompt that names no model.
	Fast Tier = "fast"
	// Large is the tier for answers that are worth waiting for.
	Large Tier = "large"
)

// The names of the providers, as they stand in answers and attempts.
const (
	Ollama = "ollama"
	Groq   = "groq"
)

// Message is one turn of a conversation; Role is system, user or assistant.
type Message struct{ Role, Content string }

// Prompt is what is asked.
type Prompt struct {
	Messages []Message
	// Model is "fast", "large" or a model's name; "" is "fast". A named model is
	// asked of Ollama by that name. Groq is asked for it too if it is one of
	// Groq's configured models, otherwise for the model of the tier.
	Model string
	Mode  Mode // "" is Interactive
	// MaxTokens bounds the answer; 0 is [DefaultMaxTokens].
	MaxTokens   int
	Temperature *float64        // nil: the model's own
	Schema      json.RawMessage // a JSON schema that the answer must satisfy; nil: free text
	// LocalOnly forbids everything that would let the prompt leave the house:
	// Groq, and those models of Ollama that run in its cloud.
	LocalOnly bool
	// Terms are asked before each call of Groq, as the prompt may have waited for
	// minutes by then: for the money that may be spent on it, a nil Budget being no
	// limit, or the [*Refused] by which Groq isn't asked. nil: no terms.
	Terms func(ctx context.Context) (Budget, error)
	// Purse is about how much money there is for Groq, in billionths of a dollar;
	// nil: enough, or nobody knows. Where it isn't enough for a call Ollama isn't
	// hurried.
	Purse *int64
	// Begun hears of each call before it is made, with what is known of its
	// attempt by then, and the class of the failure that made it necessary, "" for
	// the first. An attempt that is kept back makes no call. nil: nobody.
	Begun func(a Attempt, reason string)
}

// LogValue keeps the tenant's text out of the log.
func (p Prompt) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("messages", len(p.Messages)), slog.String("model", p.Model))
}

// Answer is a complete answer, and how it came about.
type Answer struct {
	Text                           string
	JSON                           json.RawMessage // set only when a schema was asked for
	Provider, Model                string
	PromptTokens, CompletionTokens int
	// Latency is the time from the call of Answer to its return.
	Latency time.Duration
	// FallbackReason is the class of the failure that took the first choice out
	// of the running; "" when the first choice answered.
	FallbackReason string
	Attempts       []Attempt
}

// LogValue keeps the tenant's text out of the log.
func (a Answer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("provider", a.Provider), slog.String("model", a.Model),
		slog.Int64("ms", a.Latency.Milliseconds()), slog.Int("attempts", len(a.Attempts)))
}

// Attempt is what one call of one provider came to, or why it was not called.
// It never holds text of a prompt, an answer or a provider's message.
type Attempt struct {
	ID              string // a UUIDv7
	Provider, Model string
	Named           bool // the client named the model, which the owner did not configure: there may be none
	StartedAt       time.Time
	// Queue is the wait at the gate and in the provider's own queue, FirstToken
	// the time from there to the first token (0: none came), Run the time from
	// there to the end. Queue and Run together are all the time it took.
	Queue, FirstToken, Run time.Duration
	// PromptTokens and CompletionTokens are the provider's count. Of an attempt
	// that broke off they are the text that was seen, a lower bound, and at Groq
	// a guess at the prompt's, by its length: it is billed.
	PromptTokens, CompletionTokens int
	Outcome                        string // OK, Length or the class of the failure
	Status                         int    // of HTTP; 0: no answer came
	Detail                         string
	Mended                         bool // the answer was no valid document until what stood around it was taken away
	// CostNanoUSD is what Groq bills for the attempt, also when it failed; where
	// it broke off and nobody says, what Groq may have billed at most.
	// ShadowNanoUSD is what the answer would have cost at Groq, in its configured
	// model of the same tier; only the attempt that was answered has one. The sum
	// of the differences is what was saved: a lower bound, for Groq's models add
	// tokens for reasoning.
	CostNanoUSD, ShadowNanoUSD int64
}

// Sink hears how an answer comes about. Its calls are sequential, and made by
// the goroutine that called Answer: a slow sink slows the answer.
type Sink interface {
	// Provider says that an attempt begins; reason is the class of the failure
	// that made it necessary, "" for the first.
	Provider(provider, model, reason string)
	// Token brings the next piece of text.
	Token(text string)
	// Reset withdraws all text so far; provider is the one that writes next.
	Reset(provider, reason string)
}

type silent struct{}

func (silent) Provider(_, _, _ string) {}
func (silent) Token(string)            {}
func (silent) Reset(_, _ string)       {}
