package api

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

func (g *rig) metrics(t testing.TB) (v systemMetricsView) {
	t.Helper()
	g.call(t, testAdminKey, "GET", "/api/system/metrics", "").want(200).json(&v)
	return v
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *nanos) UnmarshalJSON(b []byte) error {
	value, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return fmt.Errorf("read %s: not a number", b)
	}
	value.Mul(value, big.NewRat(1_000_000_000, 1))
	*n = nanos(value.Num().Int64())
	return nil
}

// endedAIJob inserts a job that ended so.
func (g *rig) endedAIJob(t testing.TB, organization, kind, status, created, finished string) {
	t.Helper()
	g.failedAIJob(t, organization, kind, status, "", created, finished)
}

// failedAIJob is endedAIJob with the code of the problem.
func (g *rig) failedAIJob(t testing.TB, organization, kind, status, code, created, finished string) {
	t.Helper()
	g.execute(t, `INSERT INTO jobs (organization_id, id, kind, queue, priority, run, max_attempts, input, metadata, run_at, event_id, status, created_at, finished_at, error)
		VALUES ($1, gen_random_uuid(), $2, 'ai', 2, 1, 1, '{}', '{}', `+created+`, gen_random_uuid(), $3, `+created+`, `+finished+`, CASE $3 WHEN 'failed' THEN jsonb_build_object('code', nullif($4, '')) END)`,
		organization, kind, status, code)
}

// An hour with very many calls costs no more than any other, and what is left out is told.
func TestMetricsOfModelsEndAtTheNewestCalls(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, _ := g.organization(t)
	g.ledger(t, id, ledgerCall{"groq", "ok", 0, 0, false, "now() - interval '50 minutes'"})
	fill := func(from, to int) {
		g.execute(t, `INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, prompt_tokens, started_at)
			SELECT $1, (lpad(to_hex((1000 * extract(epoch FROM now()))::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
			       gen_random_uuid(), 1, 'ai.chat', 'ollama', 'm', 'ok', 1, now() FROM generate_series($2::int, $3::int) n`, id, from, to)
	}
	fill(1, 9_998)
	if v := g.metrics(t); len(v.AtLeast) != 0 || len(v.AI.Providers) != 2 {
		t.Errorf("of 9,999 calls there are at least %v, of %d providers", v.AtLeast, len(v.AI.Providers))
	}
	fill(9_999, 12_000)
	v := g.metrics(t)
	if want := []string{"ai.providers", "ai.tokens", "ai.cost", "ai.savedInr"}; !slices.Equal(v.AtLeast, want) {
		t.Errorf("of 12,001 calls there are at least %v, want %v", v.AtLeast, want)
	}
	if len(v.AI.Providers) != 1 || v.AI.Providers[0].Attempts != 10_000 || v.AI.Tokens.Prompt != 10_000 {
		t.Errorf("got %+v and %d tokens, want the 10,000 newest calls, which are Ollama's", v.AI.Providers, v.AI.Tokens.Prompt)
	}
}

func TestMetricsOfModelsAreOverAllOrganizations(t *testing.T) {
	t.Parallel()
	in, out := 0.075, 0.3
	g := newRig(t, func(c *Config) {
		c.Pricing = AIPricing{RupeesPerDollar: 90, Fallback: []FallbackModel{{Tier: "fast", Model: "gpt", Input: &in, Output: &out}}}
	})
	one, key := g.organization(t)
	two, _ := g.organization(t)
	for _, c := range []ledgerCall{
		{"ollama", "ok", 0, 120_000, true, "now()"}, {"cache", "ok", 0, 120_000, true, "now()"},
		{"groq", "truncated", 60_000, 0, false, "now()"}, {"ollama", "breaker_open", 0, 0, false, "now()"},
	} {
		g.ledger(t, one, c)
	}
	g.ledger(t, two, ledgerCall{"groq", "ok", 120_000, 120_000, false, "now()"})
	g.ledger(t, two, ledgerCall{"rules", "ok", 0, 0, false, "now()"})
	g.ledger(t, two, ledgerCall{"ollama", "timeout", 0, 0, false, "now() - interval '61 minutes'"})
	g.ledger(t, two, ledgerCall{"ollama", "ok", 0, 1_000_000, false, "now() - interval '40 days'"})
	for _, j := range [][3]string{{"ai.chat", "succeeded", "10 s"}, {"ai.chat", "succeeded", "20 s"}, {"ai.lead_score", "failed", "30 s"},
		{"ai.chat", "cancelled", "50 minutes"}, {"mail.send", "failed", "40 minutes"}, {"ai.pull_model", "succeeded", "45 minutes"}} {
		g.endedAIJob(t, two, j[0], j[1], "now() - interval '"+j[2]+"' - interval '1 second'", "now() - interval '1 second'")
	}
	g.endedAIJob(t, one, "ai.chat", "failed", "now() - interval '2 hours'", "now() - interval '61 minutes'")

	v := g.metrics(t).AI
	var providers []string
	for _, p := range v.Providers {
		failed := "-"
		if p.FailureRate != nil {
			failed = fmt.Sprint(*p.FailureRate)
		}
		providers = append(providers, fmt.Sprintf("%s %g %d of %d failed %s", p.Provider, *p.Share, p.Answers, p.Attempts, failed))
	}
	want := []string{"cache 0.25 1 of 0 failed -", "groq 0.25 1 of 2 failed 0.5", "ollama 0.25 1 of 1 failed 0", "rules 0.25 1 of 0 failed -"}
	if !slices.Equal(providers, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(providers, "\n"), strings.Join(want, "\n"))
	}
	if *v.AverageLatency != 400 || *v.Latency.Inference.P99 != 400 || *v.CacheHitRate != 0.5 {
		t.Errorf("average %g, p99 %d, hit rate %g", *v.AverageLatency, *v.Latency.Inference.P99, *v.CacheHitRate)
	}
	if *v.FailureRate != 0.3333 || *v.Latency.Jobs.P50 != 20_000 {
		t.Errorf("failure rate %g, want a third; half of the jobs took %d ms, want 20000", *v.FailureRate, *v.Latency.Jobs.P50)
	}
	if v.Tokens.Prompt != 300 || v.Tokens.Completion != 60 {
		t.Errorf("tokens %+v", v.Tokens)
	}
	r := g.call(t, testAdminKey, "GET", "/api/system/metrics", "").want(200)
	for _, exact := range []string{`"savedInr":0.0162`, `"costInr":0.0162`, `"shadowInr":0.0324`, `"usd":0.00018`, `"usdInr":90`, `"model":"gpt"`} {
		if !strings.Contains(string(r.body), exact) {
			t.Errorf("there is no %s in %s", exact, r.body)
		}
	}
	if v.Savings.Since.day.Day() != 1 || *v.Savings.SavedRate != 0.5 || len(v.Savings.Caveats) == 0 || len(v.Savings.Prices) != 1 {
		t.Errorf("savings %+v", v.Savings)
	}
	// The roll-up changes nothing.
	if err := g.system.RollUpCalls(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if after := g.metrics(t).AI.Savings; after.SavedINR != v.Savings.SavedINR || after.CostINR != v.Savings.CostINR {
		t.Errorf("after the roll-up savings are %+v, before %+v", after, v.Savings)
	}
	g.call(t, key, "GET", "/api/system/metrics", "").problem(403, "forbidden")
}

// TestMistakesAreNoFailures: what users ask wrongly says nothing about the installation.
func TestMistakesAreNoFailures(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	one, _ := g.organization(t)
	const began, ended = "now() - interval '2 seconds'", "now() - interval '1 second'"
	for _, mistake := range []string{"not_found", "invalid_state", "forbidden", "request", "too_large", "misconfigured"} {
		g.failedAIJob(t, one, "ai.lead_score", "failed", mistake, began, ended)
	}
	if v := g.metrics(t).AI; v.FailureRate != nil {
		t.Errorf("failure rate %g of mistakes alone, want null", *v.FailureRate)
	}
	g.endedAIJob(t, one, "ai.chat", "succeeded", began, ended)
	for _, fault := range []string{"", "internal", "timeout", "deadline_exceeded", "schema_invalid", "length", "unsupported", "worker_lost"} {
		g.failedAIJob(t, one, "ai.lead_score", "failed", fault, began, ended)
	}
	if v := g.metrics(t).AI; v.FailureRate == nil || *v.FailureRate != 0.8889 {
		t.Errorf("failure rate %v, want 8 of 9", v.FailureRate)
	}
}

func TestMetricsSayWhyTheyAreNull(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	v := g.metrics(t).AI
	var figures []string
	for _, u := range v.Unmeasured {
		figures = append(figures, u.Figure)
		if u.Reason == "" {
			t.Errorf("%s has no reason", u.Figure)
		}
	}
	want := []string{"averageLatency", "latency.inference", "latency.jobs", "cacheHitRate", "failureRate", "states", "savings.savedRate",
		"savings.usdInr", "savings.model"}
	if !slices.Equal(figures, want) || v.AverageLatency != nil || v.CacheHitRate != nil || v.FailureRate != nil || v.Latency.Jobs.P50 != nil {
		t.Errorf("null is %v, want %v; %+v", figures, want, v)
	}
}

func TestMetricsShowWhatWorkersKnow(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, id := range []string{"silent", "talks"} {
		if err := store.RegisterWorker(t.Context(), g.system.Pool(), store.WorkerProcess{ID: id, Host: "h", Queues: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	failed := time.Now().UTC().Truncate(time.Second)
	for _, news := range [][]store.ProviderState{{{Provider: "ollama", Model: "m", State: "open", LastClass: "timeout", LastFailure: &failed, NextProbe: &failed}}, nil} {
		if alive, err := store.BeatWorker(t.Context(), g.system.Pool(), "talks", news); !alive || err != nil {
			t.Fatal(alive, err)
		}
	}
	states := g.metrics(t).AI.States
	if len(states) != 1 || states[0].Worker != "talks" || len(states[0].Providers) != 1 {
		t.Fatalf("states %+v", states)
	}
	if p := states[0].Providers[0]; p.Provider != "ollama" || p.State != "open" || *p.LastClass != "timeout" || !p.NextProbeAt.Equal(failed) {
		t.Errorf("state %+v", p)
	}
}
