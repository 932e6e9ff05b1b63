package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
)

func TestDemoTable(t *testing.T) {
	t.Parallel()
	answered := func(provider, model string, cached bool) demoAnswered {
		return demoAnswered{"ai.lead_score", demoAnswer{Provider: provider, Model: model, PromptTokens: 4000, CompletionTokens: 1000, LatencyMS: 120, Cached: cached}}
	}
	d := demoAI{prices: demoPrices{chain: inference.Config{}, usdINR: 90}, rows: []demoAnswered{
		answered("ollama", "mistral:7b", false),
		answered("cache", "mistral:7b", true),
		answered("groq", "openai/gpt-oss-20b", false),
		answered("rules", "lead_score.v1", false),
	}}
	var out bytes.Buffer
	d.printTable(&out)
	lines := strings.Split(out.String(), "\n")
	// 4,000 and 1,000 tokens for 0.075 and 0.30 dollars a million, at 90 rupees.
	for i, want := range []string{
		"kind provider model latency cached tokens saved",
		"ai.lead_score ollama mistral:7b 120ms no 4000 + 1000 ₹0.0540",
		"ai.lead_score cache mistral:7b 120ms yes 4000 + 1000 ₹0.0540",
		"ai.lead_score groq openai/gpt-oss-20b 120ms no 4000 + 1000 ₹0.0000",
		"ai.lead_score rules lead_score.v1 120ms no",
		"",
		"1 kinds: 2 answers by a model, 1 from the cache, 1 by rules; saved ₹0.1080 against openai/gpt-oss-20b at 90 ₹/$",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}
