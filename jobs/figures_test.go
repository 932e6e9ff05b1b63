package jobs_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
)

// What real models did, and did not, is what the figures say, before the roll-up and after it.
func TestFiguresOfRealAnswers(t *testing.T) {
	t.Parallel()
	s := working(t)
	first := s.answer(s.submit("ai.completion", `{"prompt":"Thank the customer.","max_tokens":20,"cache":"no-store"}`))
	s.ollama.Only("/api/chat").Every(faults.OllamaStatus(500, "no"))
	second := s.answer(s.submit("ai.completion", `{"prompt":"Thank the customer again.","max_tokens":20,"cache":"no-store"}`))
	if first.Provider != "ollama" || second.Provider != "groq" {
		t.Fatalf("answered by %s and %s", first.Provider, second.Provider)
	}
	usage := func() map[string]store.Usage {
		t.Helper()
		_, groups, err := s.db.UsageOf(t.Context(), s.organization, store.UsageAsk{GroupBy: store.ByProvider, MostDays: 400, Now: time.Now()})
		s.must(err)
		by := make(map[string]store.Usage)
		for _, g := range groups {
			by[g.Name] = g.Usage
		}
		return by
	}
	before := usage()
	ollama, groq := before["ollama"], before["groq"]
	failed := int64(len(second.Attempts) - 1)
	if ollama.Answers != 1 || ollama.Calls != 1+failed || ollama.Failures != failed || ollama.CostNanoUSD != 0 {
		t.Errorf("Ollama: %+v; want an answer, and %d failures", ollama, failed)
	}
	// 0.075 and 0.30 dollars for a million tokens, at 90 rupees for one.
	shadow := int64(75*first.PromptTokens + 300*first.CompletionTokens)
	cost := int64(75*second.PromptTokens + 300*second.CompletionTokens)
	if ollama.ShadowNanoUSD != shadow || ollama.ShadowNanoINR != 90*shadow || ollama.PromptTokens != int64(first.PromptTokens) {
		t.Errorf("Ollama's answer of %d and %d tokens counts %+v", first.PromptTokens, first.CompletionTokens, ollama)
	}
	if groq.Answers != 1 || groq.CostNanoUSD != cost || groq.ShadowNanoUSD != cost || groq.CostNanoINR != 90*cost {
		t.Errorf("Groq's answer of %d and %d tokens counts %+v", second.PromptTokens, second.CompletionTokens, groq)
	}
	s.must(s.db.RollUpCalls(t.Context(), 0))
	if diff := cmp.Diff(before, usage()); diff != "" {
		t.Errorf("the roll-up changed the usage:\n%s", diff)
	}
	m, err := s.db.AIMetrics(t.Context(), time.Now().Add(-time.Hour), time.Now())
	s.must(err)
	var providers []string
	for _, p := range m.Providers {
		providers = append(providers, p.Provider)
	}
	if !slices.Equal(providers, []string{"groq", "ollama"}) || m.Jobs.Succeeded != 2 || m.Jobs.Failed != 0 || len(m.All.Latencies) != 3 {
		t.Errorf("figures of %q, jobs %+v, latencies %v", providers, m.Jobs, m.All.Latencies)
	}
	if m.Month.ShadowNanoINR != 90*(shadow+cost) || m.Month.CostNanoINR != 90*cost {
		t.Errorf("this month %+v", m.Month)
	}
}

// Names that a client makes up don't fill the figures: they count together, whatever became of the calls, while
// the jobs themselves still say what was asked for.
func TestFiguresOfMadeUpModels(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.ollama.Only("/api/chat").Next(nil, nil, nil, faults.OllamaStatus(500, "no"), faults.OllamaStatus(500, "no"))
	var ids []string
	for i := range 4 {
		ids = append(ids, s.submit("ai.completion", fmt.Sprintf(`{"prompt":"Thank the customer.","max_tokens":20,"cache":"no-store","model":"made-up-%d"}`, i)))
	}
	for _, id := range ids {
		s.answer(id)
	}
	groups := func() (models []string) {
		t.Helper()
		_, list, err := s.db.UsageOf(t.Context(), s.organization, store.UsageAsk{GroupBy: store.ByModel, MostDays: 400, Now: time.Now()})
		s.must(err)
		for _, g := range list {
			models = append(models, fmt.Sprintf("%s %d", g.Name, g.Answers))
		}
		return models
	}
	want := []string{"openai/gpt-oss-20b 4", "other 0"}
	if got := groups(); !slices.Equal(got, want) {
		t.Errorf("models %q, want %q", got, want)
	}
	s.must(s.db.RollUpCalls(t.Context(), 0))
	if got := groups(); !slices.Equal(got, want) {
		t.Errorf("models %q after the roll-up, want %q", got, want)
	}
}
