package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestDemoTable(t *testing.T) {
	t.Parallel()
	answered := func(provider, model string, cached bool) demoAnswered {
		return demoAnswered{"ai.lead_score", demoAnswer{Provider: provider, Model: model, PromptTokens: 4000, CompletionTokens: 1000, LatencyMS: 120, Cached: cached}}
	}
	var d demoAI
	d.before.Prices.USDINR = 90
	d.before.Prices.Models = []demoPrices{{Tier: "fast", Model: "openai/gpt-oss-20b", Input: 0.075, Output: 0.30}}
	d.rows = []demoAnswered{
		answered("ollama", "mistral:7b", false),
		answered("cache", "mistral:7b", true),
		answered("groq", "openai/gpt-oss-20b", false),
		answered("rules", "lead_score.v1", false),
	}
	var out bytes.Buffer
	d.printTable(&out)
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{
		"kind provider model latency cached tokens saved",
		"ai.lead_score ollama mistral:7b 120ms no 4000 + 1000 ₹0.0540",
		"ai.lead_score cache mistral:7b 120ms yes 4000 + 1000 ₹0.0540",
		"ai.lead_score groq openai/gpt-oss-20b 120ms no 4000 + 1000 ₹0.0000",
		"ai.lead_score rules lead_score.v1 120ms no",
		"",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}
