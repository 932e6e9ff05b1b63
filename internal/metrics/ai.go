package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Call is one call of a provider of models, or why it wasn't made.
type Call struct {
	Provider, Model                string
	Outcome                        string // ok, or the class of the failure
	Took                           time.Duration
	PromptTokens, CompletionTokens int
	// CostNanoUSD is what the provider bills, ShadowNanoUSD what the answer would have cost at the fallback provider, in
	// billionths of a dollar.
	CostNanoUSD, ShadowNanoUSD int64
}

// A Question is what came of asking models, after all fallbacks.
type Question struct {
	Calls []Call
	// FallbackReason is the class of the failure that took the first choice out of the running; "" for none.
	FallbackReason string
	Took           time.Duration
	Failed         bool
}

// mostClasses is more than there are classes of failures, or providers.
const mostClasses = 40

// callBounds are of a model's answer: half a second on a machine with a GPU, minutes on one without.
var callBounds = []float64{0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300}

const nano = 1e-9

type aiMetrics struct {
	calls, tokens, fallbacks, cost, shadow, questions *prometheus.CounterVec
	took                                              *prometheus.HistogramVec
	providers, classes, reasons                       *set
}

func newAIMetrics() aiMetrics {
	a := aiMetrics{
		calls:     counters("ai_calls_total", "Calls of providers of models, and those that were kept back, by outcome.", "provider", "model", "outcome"),
		tokens:    counters("ai_tokens_total", "Tokens by the provider's count, in prompts and in completions.", "provider", "model", "direction"),
		fallbacks: counters("ai_fallbacks_total", "Questions that the first choice didn't answer, by the class of its failure.", "reason"),
		cost:      counters("ai_cost_usd_total", "What providers billed, in dollars.", "provider"),
		shadow:    counters("ai_shadow_cost_usd_total", "What the answers would have cost at the fallback provider, in dollars.", "provider"),
		questions: counters("ai_questions_total", "Questions to models, after all fallbacks. A cached answer is none.", "outcome"),
		took:      histograms("ai_call_duration_seconds", "How long calls took that were answered, the wait for a turn included.", callBounds, "provider", "model"),
		providers: &set{most: mostClasses}, classes: &set{most: mostClasses}, reasons: &set{most: mostClasses},
	}
	a.questions.WithLabelValues("answered")
	a.questions.WithLabelValues("failed")
	for _, provider := range []string{"ollama", "groq"} {
		a.cost.WithLabelValues(provider)
		a.shadow.WithLabelValues(provider)
		for _, tier := range []string{"fast", "large", other} {
			a.calls.WithLabelValues(provider, tier, "ok")
		}
	}
	return a
}

func (a aiMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{a.calls, a.tokens, a.fallbacks, a.cost, a.shadow, a.questions, a.took}
}

// Question counts what came of asking models.
func (m *Metrics) Question(q Question) {
	outcome := "answered"
	if q.Failed {
		outcome = "failed"
	}
	m.ai.questions.WithLabelValues(outcome).Inc()
	if q.FallbackReason != "" {
		m.ai.fallbacks.WithLabelValues(m.ai.reasons.of(q.FallbackReason)).Inc()
	}
	for _, c := range q.Calls {
		m.call(c)
	}
}

func (m *Metrics) call(c Call) {
	provider, tier := m.ai.providers.of(c.Provider), m.Tier(c.Model)
	m.ai.calls.WithLabelValues(provider, tier, m.ai.classes.of(c.Outcome)).Inc()
	m.ai.tokens.WithLabelValues(provider, tier, "prompt").Add(float64(max(0, c.PromptTokens)))
	m.ai.tokens.WithLabelValues(provider, tier, "completion").Add(float64(max(0, c.CompletionTokens)))
	m.ai.cost.WithLabelValues(provider).Add(float64(max(0, c.CostNanoUSD)) * nano)
	m.ai.shadow.WithLabelValues(provider).Add(float64(max(0, c.ShadowNanoUSD)) * nano)
	if c.Outcome == "ok" {
		m.ai.took.WithLabelValues(provider, tier).Observe(c.Took.Seconds())
	}
}

// Tier is the label of a model: its tier, or "other" for one that a client named.
func (m *Metrics) Tier(model string) string {
	if tier, configured := m.config.Tiers[model]; configured {
		return tier
	}
	return other
}
