package inference

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// DefaultMaxTokens bounds an answer whose prompt sets no limit.
const DefaultMaxTokens = 1024

// Gate admits calls to a model host across all processes that use it: Ollama's
// own queue limit does not bound a model that is loaded. Acquire waits until
// there is a place or ctx ends; release is called once.
type Gate interface {
	Acquire(ctx context.Context) (release func(), err error)
}

// Models are a provider's models for the two tiers.
type Models struct{ Fast, Large string }

// Price is what Groq takes, in dollars for a million tokens.
type Price struct{ In, Out float64 }

// Config is what a chain is built from. Every zero value has a meaning.
type Config struct {
	OllamaURL     string // "" is http://127.0.0.1:11434
	OllamaEnabled bool   // false is the rollback: Groq alone answers
	OllamaModels  Models // zero: mistral:7b and llama2:13b
	// KeepAlive is how long Ollama keeps a model loaded after a call; 0 is 30
	// minutes, negative is for ever.
	KeepAlive time.Duration

	GroqKey     string // "": Groq is not configured
	GroqBaseURL string // "" is https://api.groq.com/openai/v1; used as it stands
	GroqModels  Models // zero: openai/gpt-oss-20b and openai/gpt-oss-120b
	// GroqServiceTier is sent if set. With "flex" a call that finds no capacity
	// is made again as "on_demand".
	GroqServiceTier string
	// GroqProxy chooses the proxy for Groq; nil is none. Ollama never has one.
	GroqProxy func(*http.Request) (*url.URL, error)
	// Prices are by Groq's model names, over those known here for the default
	// models. A model without a price counts as free.
	Prices map[string]Price

	FastBudget  time.Duration // of an interactive prompt; 0 is 5 s
	LargeBudget time.Duration // of an interactive prompt for the large tier; 0 is 8 s
	// Patience is what Ollama has for a relaxed prompt, and for any prompt that
	// nobody else can answer; 0 is 5 minutes.
	Patience time.Duration
	// GroqTimeout bounds a whole call of Groq; 0 is 30 s.
	GroqTimeout time.Duration

	Gate Gate         // nil: none
	Log  *slog.Logger // nil: silent
}

// LogValue keeps the key out of the log.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("ollama_url", redacted(c.OllamaURL)), slog.Bool("ollama_enabled", c.OllamaEnabled),
		slog.Bool("groq_configured", c.GroqKey != ""))
}

// ProviderStatus is the state of one model of one provider, for screens.
type ProviderStatus struct {
	Provider, Model string
	// State is "closed" (in use), "open" (not asked until a probe succeeds),
	// "half_open" (the next call is the trial), "limited" (rate limited until
	// NextProbe), "disabled" or "unconfigured".
	State string
	// LastClass is the class of the last failure, LastFailure its time.
	LastClass   string
	LastFailure time.Time
	// NextProbe is when the provider is tried again; zero when it is in use.
	NextProbe time.Time
	// Limit is Groq's last report of what is left; nil if there was none.
	Limit *RateLimit
}

// RateLimit is what Groq said to be left of an account's limits.
type RateLimit struct {
	Requests, RequestsLeft int // a day
	Tokens, TokensLeft     int // a minute
	RequestsReset          time.Duration
	TokensReset            time.Duration
	At                     time.Time
}
