package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultMaxTokens bounds an answer whose prompt sets no limit.
const DefaultMaxTokens = 1024

// Gate admits calls to a model host across all processes that use it: Ollama's
// own queue limit does not bound a model that is loaded. Acquire waits until
// there is a place or ctx ends; release is called once. Load says how many calls
// are in flight or wait, over all processes, and how many may be in flight.
type Gate interface {
	Acquire(ctx context.Context) (release func(), err error)
	Load(ctx context.Context) (ahead, slots int, err error)
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
	// KeepAlives are for single models, over KeepAlive.
	KeepAlives map[string]time.Duration
	// Warm are the tiers whose models Run keeps loaded, whatever their keep-alive;
	// nil is the fast one, and none is an empty list.
	Warm []Tier

	GroqKey     string // "": Groq is not configured
	GroqBaseURL string // "" is https://api.groq.com/openai/v1; used as it stands
	GroqModels  Models // zero: openai/gpt-oss-20b and openai/gpt-oss-120b
	// GroqServiceTier is sent if set. With "flex" a call that finds no capacity
	// is made again as "on_demand".
	GroqServiceTier string
	// GroqProxy chooses the proxy for Groq; nil is none. Ollama never has one.
	GroqProxy func(*http.Request) (*url.URL, error)
	// Prices are by Groq's model names, over those known here for the default
	// models. A model without a price counts as free, and is not asked for who has
	// a budget.
	Prices map[string]Price

	FastBudget  time.Duration // of an interactive prompt; 0 is 5 s
	LargeBudget time.Duration // of an interactive prompt for the large tier; 0 is 8 s
	// Patience is what Ollama has for a relaxed prompt, and for any prompt that
	// nobody else can answer; 0 is 5 minutes.
	Patience time.Duration
	// GroqTimeout bounds a whole call of Groq; 0 is 30 s.
	GroqTimeout time.Duration

	// Rules says that the caller answers by rules what no model can; it is for the log alone.
	Rules bool

	Gate Gate         // nil: none
	Log  *slog.Logger // nil: silent
}

// Budget is the money that an organization may spend at Groq.
type Budget interface {
	// Reserve sets aside what a call may cost at most, or says by a [*Refused] that
	// it isn't there; then Ollama is waited for. With any other error nobody knows,
	// and Groq isn't asked either. settle is called once, with what the call did
	// cost, also when the context has ended.
	Reserve(ctx context.Context, nanoUSD int64) (settle func(nanoUSD int64), err error)
}

// LogValue keeps the key out of the log.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("ollama_url", redacted(c.OllamaURL)), slog.Bool("ollama_enabled", c.OllamaEnabled),
		slog.Bool("groq_configured", c.GroqKey != ""))
}

// withDefaults fills the zero values in.
func (c Config) withDefaults() Config {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	span := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&c.OllamaURL, "http://127.0.0.1:11434")
	def(&c.OllamaModels.Fast, "mistral:7b")
	def(&c.OllamaModels.Large, "llama2:13b")
	def(&c.GroqBaseURL, "https://api.groq.com/openai/v1")
	def(&c.GroqModels.Fast, "openai/gpt-oss-20b")
	def(&c.GroqModels.Large, "openai/gpt-oss-120b")
	span(&c.KeepAlive, 30*time.Minute)
	if c.Warm == nil {
		c.Warm = []Tier{Fast}
	}
	span(&c.FastBudget, 5*time.Second)
	span(&c.LargeBudget, 8*time.Second)
	span(&c.Patience, 5*time.Minute)
	span(&c.GroqTimeout, 30*time.Second)
	prices := maps.Clone(defaultPrices)
	maps.Copy(prices, c.Prices)
	c.Prices = prices
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// address reads the URL of a provider. Its error doesn't repeat the URL, which
// may hold a password.
func address(name, raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("read %s: want an address like http://127.0.0.1:11434", name)
	}
	return u, nil
}

// checkKey refuses a key that can't stand in a header, such as one with a line
// break within.
func checkKey(key string) error {
	for _, c := range []byte(key) {
		if c <= ' ' || c >= 0x7f {
			return errors.New("read GROQ_API_KEY_FALLBACK: it holds a character that no key has")
		}
	}
	return nil
}

func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Redacted()
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
