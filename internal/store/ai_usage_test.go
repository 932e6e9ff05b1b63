package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// A madeCall is a row of ai_calls that a test made, by its own clock.
type madeCall struct {
	org                      int
	kind, provider, model    string
	outcome, detail          string
	run, prompt, completion  int
	cost, shadow             int64
	cached, cacheable, rated bool
	at                       time.Time
}

const insertCall = `
INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, detail, cached, cacheable, queue_ms,
    run_ms, prompt_tokens, completion_tokens, cost_nano_usd, shadow_nano_usd, usd_inr, started_at, created_at)
VALUES ($1, $2, $2, 1, $3, $4, $5, $6, nullif($7, ''), $8, $9, 3, $10, $11, $12, $13, $14, $15, $16, $16)`

var zones = []string{"Asia/Kolkata", "UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"}

func zoneID(n int) string { return fmt.Sprintf("0197aaaa-0000-7000-8000-0000000000%02d", n) }

func callsGenerator(now time.Time) *rapid.Generator[madeCall] {
	return rapid.Custom(func(t *rapid.T) madeCall {
		c := madeCall{
			org:      rapid.IntRange(0, len(zones)-1).Draw(t, "organization"),
			kind:     rapid.SampledFrom([]string{"ai.chat", "ai.lead_score"}).Draw(t, "kind"),
			provider: rapid.SampledFrom([]string{"ollama", "groq", "cache", "rules"}).Draw(t, "provider"),
			model:    rapid.SampledFrom([]string{"mistral:7b", "openai/gpt-oss-20b"}).Draw(t, "model"),
			run:      rapid.SampledFrom([]int{0, 1, 2500}).Draw(t, "run"),
			prompt:   rapid.IntRange(0, 5000).Draw(t, "prompt"), completion: rapid.IntRange(0, 900).Draw(t, "completion"),
			cost: rapid.Int64Range(0, 2e6).Draw(t, "cost"), shadow: rapid.Int64Range(0, 2e6).Draw(t, "shadow"),
			cacheable: rapid.Bool().Draw(t, "cacheable"), rated: rapid.Bool().Draw(t, "rated"),
			outcome: "ok",
		}
		c.cached = c.provider == "cache"
		if c.provider == "ollama" || c.provider == "groq" {
			c.outcome = rapid.SampledFrom([]string{"ok", "length", "length", "timeout", "cancelled", "overloaded", "lost", "server",
				"breaker_open", "queue_full", "out_of_budget", "budget_unknown"}).Draw(t, "outcome")
			if c.outcome != "ok" && (c.outcome != "length" || rapid.Bool().Draw(t, "refused")) {
				c.detail = "why"
			}
		}
		// Many fall on the edges of hours and days, of one clock or another.
		edge := now.Add(-time.Duration(rapid.IntRange(1, 60*24).Draw(t, "minutes")) * time.Minute).Truncate(15 * time.Minute)
		c.at = edge.Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 1, 400e6}).Draw(t, "beside")) * time.Microsecond)
		return c
	})
}

// counts is what a call counts, by the words of the documentation.
func (c madeCall) counts() (u store.Usage) {
	model := c.provider == "ollama" || c.provider == "groq"
	kept := slices.Contains([]string{"breaker_open", "queue_full", "out_of_budget", "budget_unknown"}, c.outcome) ||
		slices.Contains([]string{"cancelled", "timeout", "overloaded"}, c.outcome) && c.run == 0
	answered := c.outcome == "ok" || c.outcome == "length" && c.detail == ""
	one := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	u.Calls, u.Answers, u.Failures = one(model && !kept), one(answered), one(model && !kept && !answered)
	u.ByModels, u.ByRules = one(answered && model), one(answered && c.provider == "rules")
	u.Cacheable, u.Cached = one(answered && c.cacheable), one(answered && c.cached)
	if model && !kept {
		u.PromptTokens, u.CompletionTokens = int64(c.prompt), int64(c.completion)
	}
	if model && answered {
		u.LatencyMS = int64(c.run) + 3
	}
	u.CostNanoUSD, u.ShadowNanoUSD = c.cost, c.shadow
	if c.provider == "rules" {
		u.ShadowNanoUSD = 0
	}
	if c.rated {
		u.CostNanoINR, u.ShadowNanoINR = int64(math.Round(float64(u.CostNanoUSD)*89.5)), int64(math.Round(float64(u.ShadowNanoUSD)*89.5))
	}
	return u
}

// wanted adds up by the test's own calendar.
func wanted(t *rapid.T, calls []madeCall, org int, from, to, by string) []store.UsageGroup {
	zone, err := time.LoadLocation(zones[org])
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]*store.Usage{}
	var names []string
	for _, c := range calls {
		day := c.at.In(zone).Format(time.DateOnly)
		if c.org != org || day < from || day > to {
			continue
		}
		name := map[string]string{store.ByDay: day, store.ByKind: c.kind, store.ByModel: c.model, store.ByProvider: c.provider}[by]
		if sums[name] == nil {
			sums[name] = &store.Usage{}
			names = append(names, name)
		}
		sums[name].Add(c.counts())
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a, b) })
	groups := []store.UsageGroup{}
	for _, name := range names {
		groups = append(groups, store.UsageGroup{Name: name, Usage: *sums[name]})
	}
	return groups
}

// Whenever calls are rolled up, by however many at once, the usage is what the calls come to.
func TestUsageIsExactWheneverItIsRolledUp(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner, app, system := connect(t, url), open(t, url, store.App), open(t, url, store.System)
	for n, zone := range zones {
		if _, err := owner.Exec(t.Context(), `INSERT INTO organizations (id, name, state, timezone) VALUES ($1, 'x', 'x', $2)`, zoneID(n), zone); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := owner.Exec(t.Context(), `DELETE FROM ai_calls; DELETE FROM ai_usage_hours; UPDATE ai_usage_until SET until = '2000-01-01'`); err != nil {
			rt.Fatal(err)
		}
		// Around a change of the clocks in New York and on Lord Howe Island too.
		now := rapid.SampledFrom([]time.Time{time.Date(2026, 6, 30, 18, 31, 0, 0, time.UTC),
			time.Date(2025, 11, 2, 8, 0, 0, 0, time.UTC),
			time.Date(2026, 4, 4, 16, 0, 0, 0, time.UTC)}).Draw(rt, "now")
		calls := rapid.SliceOfN(callsGenerator(now), 1, 25).Draw(rt, "calls")
		b := &pgx.Batch{}
		for _, c := range calls {
			var rate *float64
			if c.rated {
				r := 89.5
				rate = &r
			}
			b.Queue(insertCall, zoneID(c.org), outbox.NewID(), c.kind, c.provider, c.model, c.outcome, c.detail, c.cached, c.cacheable,
				c.run, c.prompt, c.completion, c.cost, c.shadow, rate, c.at)
		}
		if err := owner.SendBatch(t.Context(), b).Close(); err != nil {
			rt.Fatal(err)
		}
		moments := rapid.SliceOfN(rapid.IntRange(0, 25*60), 0, 3).Draw(rt, "minutes before the end")
		slices.SortFunc(moments, func(a, b int) int { return b - a })
		for step := range len(moments) + 1 {
			if step > 0 {
				ago := time.Since(now) + time.Duration(moments[step-1])*time.Minute
				if err := rollUpTogether(t.Context(), system, ago, 1+step%2); err != nil {
					rt.Fatal(err)
				}
			}
			org := rapid.IntRange(0, len(zones)-1).Draw(rt, "asked")
			by := rapid.SampledFrom([]string{store.ByDay, store.ByKind, store.ByModel, store.ByProvider}).Draw(rt, "by")
			from := now.AddDate(0, 0, -rapid.IntRange(0, 2).Draw(rt, "from")).Truncate(24 * time.Hour)
			to := from.AddDate(0, 0, rapid.IntRange(0, 2).Draw(rt, "days"))
			frame, got, err := app.UsageOf(t.Context(), zoneID(org), store.UsageAsk{From: &from, To: &to, GroupBy: by, MostDays: 400, Now: now})
			if err != nil {
				rt.Fatal(err)
			}
			want := wanted(rt, calls, org, from.Format(time.DateOnly), to.Format(time.DateOnly), by)
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("%s by %s from %s to %s after %d roll-ups (-want +got):\n%s", zones[org], by, frame.From, frame.To, step, diff)
			}
		}
	})
}

func rollUpTogether(ctx context.Context, db *store.DB, settled time.Duration, n int) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = db.RollUpCalls(ctx, settled) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A month of calls that nobody rolled up is made up for, and each call is counted once though those who do it are
// cut off in the middle. Until then the cleaning leaves the calls alone.
func TestUsageIsMadeUpForAfterAnOutage(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner, system := connect(t, url), open(t, url, store.System)
	execute := func(sql string, args ...any) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	count := func(sql string) (n int) {
		t.Helper()
		if err := owner.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	execute(`INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x')`, zoneID(0))
	execute(`
		WITH j AS (
			INSERT INTO jobs (organization_id, id, kind, queue, priority, run, max_attempts, input, metadata, run_at, event_id, status, created_at, finished_at)
			SELECT $1, gen_random_uuid(), 'ai.chat', 'ai', 2, 1, 1, '{}', '{}', at, gen_random_uuid(), 'succeeded', at, at
			FROM generate_series(now() - interval '130 days', now() - interval '100 days', interval '97 minutes') AS at
			RETURNING id, created_at
		)
		INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, started_at, created_at)
		SELECT $1, gen_random_uuid(), id, 1, 'ai.chat', 'ollama', 'm', 'ok', created_at, created_at FROM j`, zoneID(0))
	made := count(`SELECT count(*) FROM ai_calls`)
	clean := func() {
		t.Helper()
		if err := system.CleanUp(t.Context(), store.Retention{Jobs: 90 * 24 * time.Hour, UsageHours: 200 * 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	clean()
	if left := count(`SELECT count(*) FROM ai_calls`); left != made || count(`SELECT count(*) FROM jobs`) != made {
		t.Fatalf("%d of %d calls are left before they are counted", left, made)
	}
	for cut := 10 * time.Millisecond; ; cut += 10 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), cut)
		err := rollUpTogether(ctx, system, 5*time.Minute, 2)
		cancel()
		if counted := count(`SELECT coalesce(sum(calls), 0)::int FROM ai_usage_hours`); counted > made || err == nil && counted != made {
			t.Fatalf("%d of %d calls are counted, %v", counted, made, err)
		}
		if err == nil {
			break
		}
		clean()
	}
	if n := count(`SELECT count(*) FROM ai_usage_hours WHERE extract(minute FROM hour) <> 30`); n != 0 {
		t.Errorf("%d hours begin at another minute than the half, as India's do", n)
	}
	clean()
	if left := count(`SELECT count(*) FROM ai_calls`); left != 0 || count(`SELECT sum(calls)::int FROM ai_usage_hours`) != made {
		t.Errorf("%d calls are left though they are counted, and old", left)
	}
}

// One organization's usage is found among everybody's by indexes.
func TestUsageOfOneReadsItsOwn(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner := connect(t, url)
	for _, sql := range []string{
		`INSERT INTO organizations (id, name, state) SELECT ('0197aaaa-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'x', 'x' FROM generate_series(1, 200) n`,
		`INSERT INTO ai_usage_hours SELECT id, hour, 'ai.chat', 'ollama', 'm', 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0
		 FROM organizations, generate_series(date_trunc('hour', now()) - interval '400 hours', now() - interval '5 minutes', interval '1 hour') AS hour`,
		`INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, started_at, created_at)
		 SELECT id, gen_random_uuid(), gen_random_uuid(), 1, 'ai.chat', 'ollama', 'm', 'ok', at, at
		 FROM generate_series(now() - interval '400 hours', now(), interval '1 hour') AS at, organizations`,
		`UPDATE ai_usage_until SET until = now() - interval '5 minutes'`,
		`VACUUM ANALYZE`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	heard := &tape{}
	app, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 2, Tracer: heard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	reads := heard.heardOf(t, func() error {
		_, groups, err := app.UsageOf(t.Context(), zoneID(2), store.UsageAsk{GroupBy: store.ByDay, MostDays: 400, Now: time.Now()})
		if err == nil && len(groups) == 0 {
			err = errors.New("there is no usage")
		}
		return err
	})
	if _, err := owner.Exec(t.Context(), `SET ROLE payaid_app; SET app.organization_id = '`+zoneID(2)+`'`); err != nil {
		t.Fatal(err)
	}
	for _, read := range reads {
		p := explain(t, owner, read)
		if fault := scansAll(p); fault != "" {
			t.Errorf("%s\n%+v\n%s", fault, p, read.sql)
		}
	}
}

// scansAll says which of the large tables a plan reads from end to end.
func scansAll(p plan) string {
	if p.Node == "Seq Scan" && strings.HasPrefix(p.Relation, "ai_") && p.Relation != "ai_usage_until" && p.Relation != "ai_budgets" {
		return "it reads all of " + p.Relation
	}
	for _, below := range p.Plans {
		if fault := scansAll(below); fault != "" {
			return fault
		}
	}
	return ""
}
