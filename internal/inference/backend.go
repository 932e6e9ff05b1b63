package inference

import (
	"context"
	"encoding/json"
	"time"
)

// backend is a provider as the chain sees it.
type backend interface {
	// chat makes one call. heard is called for each piece of text, and with ""
	// for a sign of life that is no text. The reply is set as far as it came,
	// also beside a failure. A reply without done and a nil failure is a stream
	// that ended early.
	chat(ctx context.Context, c call, heard func(string)) (reply, *failure)
	// probe finds out whether model can be asked.
	probe(ctx context.Context, model string) *failure
	// subject begins a sentence about the provider.
	subject() string
}

// call is one request.
type call struct {
	model       string
	messages    []Message
	maxTokens   int
	temperature *float64
	schema      *schema
	localOnly   bool
	onDemand    bool // Groq: not the configured service tier
	plainJSON   bool // Groq: no constrained decoding
}

// reply is what came of a call.
type reply struct {
	text               string
	doc                json.RawMessage // set once it satisfies the schema
	mended             bool            // not as the model gave it
	done               bool            // the provider said so
	reason             string          // why it is done
	prompt, completion int
	metered            bool          // the provider counted them
	sent               bool          // Groq: it may have read the call
	queue              time.Duration // inside the provider
	load               time.Duration // of the model, before the answer
	status             int
	limit              *RateLimit
}
