package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// aCallOf inserts a call of an organization that cost and would have cost so many billionths of a dollar, at a
// rate of 100 rupees; more are further columns.
func aCallOf(money string) string {
	return `INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, queue_ms, run_ms, prompt_tokens,
		completion_tokens, usd_inr, started_at, cost_nano_usd, shadow_nano_usd)
		VALUES ($1, gen_random_uuid(), gen_random_uuid(), 1, 'ai.chat', 'groq', 'hush', 'ok', 50, 450, 100, 20, 1, now(), ` + money + `)`
}

// A ledgerCall is a call as a test writes it down.
type ledgerCall struct {
	provider, outcome string
	cost, shadow      int64 // billionths of a dollar
	cacheable         bool
	at                string // of created_at, in SQL
}

func (g *rig) ledger(t testing.TB, organization string, c ledgerCall) {
	t.Helper()
	g.execute(t, `INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, run_ms, prompt_tokens,
		completion_tokens, usd_inr, cached, cacheable, started_at, created_at, cost_nano_usd, shadow_nano_usd)
		VALUES ($1, (lpad(to_hex((1000 * extract(epoch FROM `+c.at+`))::bigint), 12, '0') || '70008' || left(md5(random()::text), 15))::uuid,
			gen_random_uuid(), 1, 'ai.chat', $2, 'm', $3, 400, 100, 20, 90, $2 = 'cache', $4, now(), `+c.at+`, $5, $6)`,
		organization, c.provider, c.outcome, c.cacheable, c.cost, c.shadow)
}

func (g *rig) usage(t testing.TB, key, query string) (v usageView) {
	t.Helper()
	g.call(t, key, "GET", "/api/ai/usage?"+query, "").want(200).json(&v)
	return v
}

func TestUsageOfAMonth(t *testing.T) {
	t.Parallel()
	in, out := 0.075, 0.3
	g := newRig(t, func(c *Config) {
		c.Pricing = AIPricing{RupeesPerDollar: 90, Fallback: []FallbackModel{{Tier: "fast", Model: "gpt", Input: &in, Output: &out}}}
	})
	id, key := g.organization(t)
	for _, c := range []ledgerCall{
		{"ollama", "ok", 0, 120_000, true, "now()"}, // 1.08 paise
		{"cache", "ok", 0, 120_000, true, "now()"},
		{"groq", "ok", 120_000, 120_000, false, "now()"},
		{"groq", "truncated", 60_000, 0, false, "now()"}, // billed for nothing: 0.54 paise
		{"ollama", "breaker_open", 0, 0, false, "now()"},
		{"rules", "ok", 0, 0, false, "now()"},
		{"ollama", "ok", 0, 120_000, false, "now() - interval '40 days'"}, // last month, or the one before
	} {
		g.ledger(t, id, c)
	}
	v := g.usage(t, key, "group_by=provider")
	now := time.Now().In(time.FixedZone("IST", 5*3600+1800))
	if v.From.day.Format(time.DateOnly) != now.Format("2006-01")+"-01" || v.To.day.Format(time.DateOnly) != now.Format(time.DateOnly) || v.Timezone != "Asia/Kolkata" {
		t.Errorf("from %s to %s in %s", v.From.day, v.To.day, v.Timezone)
	}
	var groups []string
	for _, group := range v.Data {
		groups = append(groups, fmt.Sprintf("%s: %d calls %d answers %d failures saved %d", group.Group, group.Calls, group.Answers, group.Failures, group.SavedNano))
	}
	want := []string{
		"cache: 0 calls 1 answers 0 failures saved 10800000",
		"groq: 2 calls 1 answers 1 failures saved -5400000",
		"ollama: 1 calls 1 answers 0 failures saved 10800000",
		"rules: 0 calls 1 answers 0 failures saved 0",
	}
	if !slices.Equal(groups, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(groups, "\n"), strings.Join(want, "\n"))
	}
	sum := v.Totals
	if sum.Calls != 3 || sum.Answers != 4 || sum.Rules != 1 || sum.Cacheable != 2 || sum.Cached != 1 || *sum.CacheHitRate != 0.5 ||
		sum.PromptTokens != 300 || *sum.AverageLatencyMS != 400 {
		t.Errorf("totals %+v", sum)
	}
	// 1.62 paise cost, 3.24 would have been: each is rounded by itself.
	if sum.CostNano != 16_200_000 || sum.ShadowNano != 32_400_000 || sum.Cost != 2 || sum.Shadow != 3 || sum.Saved != 2 {
		t.Errorf("cost %d (%d), shadow %d (%d), saved %d", sum.Cost, sum.CostNano, sum.Shadow, sum.ShadowNano, sum.Saved)
	}
	if len(v.Prices.Models) != 1 || *v.Prices.Models[0].Input != in || *v.Prices.USDINR != 90 {
		t.Errorf("prices %+v", v.Prices)
	}
	for _, about := range []string{"Copies from the cache count as saved", "counts as reserved for 15 to 20 minutes, and as spent afterwards"} {
		if !strings.Contains(strings.Join(v.Prices.Caveats, "\n"), about) {
			t.Errorf("no caveat says %q: %q", about, v.Prices.Caveats)
		}
	}
	before := g.usage(t, key, "from=2020-01-01&to=2020-12-31")
	if before.Data == nil || len(before.Data) != 0 || before.Totals.CacheHitRate != nil || before.Totals.AverageLatencyMS != nil {
		t.Errorf("a year without calls is %+v", before)
	}
}

// What the roll-up has taken looks as it did before.
func TestUsageDoesNotChangeWithTheRollUp(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, key := g.organization(t)
	for _, at := range []string{"now()", "now() - interval '1 hour'", "now() - interval '1 day'"} {
		g.ledger(t, id, ledgerCall{"ollama", "ok", 0, 120_000, true, at})
	}
	from := time.Now().AddDate(0, 0, -2).Format(time.DateOnly)
	before := g.usage(t, key, "from="+from)
	for _, settled := range []time.Duration{2 * time.Hour, 0} {
		if err := g.system.RollUpCalls(t.Context(), settled); err != nil {
			t.Fatal(err)
		}
		after := g.usage(t, key, "from="+from)
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if string(a) != string(b) || after.Totals.Calls != 3 {
			t.Errorf("after the roll-up of what is %s old:\n%s\nbefore:\n%s", settled, b, a)
		}
	}
}

func TestUsageRefusesWhatItCantAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for query, pointer := range map[string]string{
		"from=yesterday":                  "/query/from",
		"from=2026-02-30":                 "/query/from",
		"to=2026-1-1":                     "/query/to",
		"from=2026-11-22T00:00:00Z":       "/query/from",
		"group_by=hour":                   "/query/group_by",
		"from=2026-03-02&to=2026-03-01":   "/query/from",
		"from=2999-01-01":                 "/query/from",
		"from=2025-01-01&to=2026-02-05":   "/query/from",
		"from=0001-01-01":                 "/query/from",
		"from=0001-01-01&to=9999-12-31":   "/query/from",
		"day=2026-01-01":                  "/query/day",
		"from=2026-01-01&from=2026-01-02": "/query/from",
	} {
		g.call(t, key, "GET", "/api/ai/usage?"+query, "").problem(422, "validation_failed", pointer)
	}
	// 400 days, and one of them, are fine.
	g.usage(t, key, "from=2025-01-01&to=2026-02-04")
	g.usage(t, key, "from=2026-01-01&to=2026-01-01&group_by=kind")
	if v := g.usage(t, key, "to=2024-02-29"); v.From.day.Format(time.DateOnly) != "2024-02-01" {
		t.Errorf("to the end of February begins on %s", v.From.day)
	}
	g.call(t, g.key(t, key, "jobs"), "GET", "/api/ai/usage", "").problem(403, "forbidden")
}

func TestUsageShowsTheBudget(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, key := g.organization(t)
	if b := g.usage(t, key, "").Budget; b.Monthly != nil || b.Remaining != nil || b.Spent != 0 || b.ResetsAt.Before(time.Now()) {
		t.Errorf("without a limit: %+v", b)
	}
	g.call(t, key, "PATCH", "/api/organization", `{"settings":{"ai":{"monthly_budget":100}}}`).want(200)
	g.execute(t, `INSERT INTO ai_budgets (organization_id, month, spent_nano_inr, reserved_nano_inr)
		VALUES ($1, date_trunc('month', now() AT TIME ZONE 'Asia/Kolkata')::date, $2, $3), ($1, '2020-01-01', 5, 5)`,
		id, 50*store.NanoPerPaisa+1, 3*store.NanoPerPaisa)
	b := g.usage(t, key, "from=2020-01-01&to=2020-01-31").Budget
	if *b.Monthly != 100 || b.Spent != 50 || b.Reserved != 3 || *b.Remaining != 46 {
		t.Errorf("monthly %d, spent %d, reserved %d, remaining %d; want 100, 50, 3 and 46 whole paise", *b.Monthly, b.Spent, b.Reserved, *b.Remaining)
	}
	next := b.ResetsAt.In(time.FixedZone("IST", 5*3600+1800))
	if next.Day() != 1 || next.Hour() != 0 || next.Minute() != 0 || time.Until(next) > 32*24*time.Hour {
		t.Errorf("resets at %s", next)
	}
	g.call(t, key, "PATCH", "/api/organization", `{"settings":{"ai":{"monthly_budget":9007199254740991}}}`).want(200)
	if b := g.usage(t, key, "").Budget; *b.Remaining != 9007199254740991-54 {
		t.Errorf("of the greatest budget %d remain", *b.Remaining)
	}
}

func TestMoneyIsRoundedHalfUp(t *testing.T) {
	t.Parallel()
	for nano, want := range map[int64]int64{0: 0, 4_999_999: 0, 5_000_000: 1, 10_800_000: 1, 15_000_000: 2, -5_000_000: 0,
		-5_000_001: -1, -15_000_000: -1, -15_000_001: -2} {
		if got := paise(nano); got != want {
			t.Errorf("%d nano are %d paise, want %d", nano, got, want)
		}
	}
	for n, want := range map[nanos]string{0: "0", 1: "0.000000001", -10_800_000: "-0.0108", 1_500_000_000: "1.5", 90_000_000_000: "90",
		-9223372036854775808: "-9223372036.854775808"} {
		if got, _ := json.Marshal(n); string(got) != want {
			t.Errorf("%d is written %s, want %s", int64(n), got, want)
		}
	}
}
