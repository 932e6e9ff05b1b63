package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// asked writes down an attempt at a model that ended so long ago, and gives its id.
func (g *rig) asked(t testing.TB, org, job, provider, outcome, reason, ago string) (id string) {
	t.Helper()
	id = outbox.NewID()
	g.execute(t, `INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, detail, fallback_reason, queue_ms, first_token_ms,
		run_ms, usd_inr, cost_nano_usd, shadow_nano_usd, cacheable, cached, started_at, created_at)
		VALUES ($1, $2, $3, 1, 'ai.chat', $4, 'm', $5, CASE WHEN $5 <> 'ok' THEN 'why' END, nullif($6, ''), 100, 200, 400, 100,
		CASE WHEN $4 = 'groq' THEN 10000000 ELSE 0 END, 50000000, true, $4 = 'cache', now() - $7::interval, now() - $7::interval)`,
		org, id, job, provider, outcome, reason, ago)
	return id
}

func TestAdminSeesHowModelsDo(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, client := g.organization(t)
	other, _ := g.organization(t)
	g.execute(t, `UPDATE organizations SET settings = '{"ai":{"monthly_budget":1000}}' WHERE id = $1`, org)
	g.execute(t, `INSERT INTO ai_budgets (organization_id, month, spent_nano_inr, reserved_nano_inr)
		SELECT id, date_trunc('month', now() AT TIME ZONE timezone)::date, 4000000000, 1000000000 FROM organizations WHERE id = $1`, org)
	job := outbox.NewID()
	g.asked(t, org, job, "ollama", "timeout", "", "3 minutes")
	g.asked(t, org, job, "groq", "ok", "timeout", "2 minutes")
	g.asked(t, other, outbox.NewID(), "ollama", "ok", "", "1 minute")
	g.asked(t, other, outbox.NewID(), "cache", "ok", "", "0")
	g.worker(t, "w1", `{"ai":2}`, store.ProviderState{Provider: "ollama", Model: "m", State: "closed"}, store.ProviderState{Provider: "smtp", Model: "mx", State: "open"})
	failed := time.Now().UTC().Truncate(time.Second)
	g.worker(t, "w2", `{"ai":2}`, store.ProviderState{Provider: "ollama", Model: "m", State: "open", LastClass: "timeout", LastFailure: &failed, NextProbe: &failed})

	var v operator.AIOverview
	g.call(t, testAdminKey, "GET", "/api/admin/ai", "").want(200).json(&v)
	if len(v.Models) != 1 || v.Models[0].State != "open" || len(v.Models[0].Workers) != 2 || *v.Models[0].Workers[1].LastClass != "timeout" {
		t.Errorf("the models are %+v", v.Models)
	}
	if v.Looked != 4 || v.Bounded || v.Cacheable != 3 || v.Cached != 1 || *v.HitRate != 0.3333 {
		t.Errorf("%d looked at, %d of %d from the cache (%v)", v.Looked, v.Cached, v.Cacheable, *v.HitRate)
	}
	if len(v.Fallbacks) != 1 || v.Fallbacks[0] != (operator.AIFallback{Reason: "timeout", Provider: "groq", Hour: 1, Day: 1}) {
		t.Errorf("the fallbacks are %+v", v.Fallbacks)
	}
	if len(v.Paces) != 2 || v.Paces[0].P95 != 500 || *v.Paces[0].FirstTokenP50 != 300 {
		t.Errorf("the paces are %+v", v.Paces)
	}
	// 50 million billionths of a dollar are 5 rupees at 100 for a dollar; groq took one of them for its own.
	if v.Money != (operator.AIMoney{Organizations: 2, Spent: 100, Shadow: 2000, Saved: 1900}) {
		t.Errorf("the money is %+v", v.Money)
	}
	if a := v.Accounts[0]; a.OrganizationID != org || *a.Budget != 1000 || a.Spent != 400 || a.Reserved != 100 || *a.Used != 0.5 || a.Saved != 900 {
		t.Errorf("the account is %+v", a)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/ai?organization="+other, "").want(200).json(&v)
	if len(v.Accounts) != 1 || v.Accounts[0].OrganizationID != other {
		t.Errorf("of one organization: %+v", v.Accounts)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/ai?organization=x", "").problem(422, "validation_failed", "/query/organization")
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "GET", "/api/admin/ai", "").want(200)
	g.call(t, client, "GET", "/api/admin/ai", "").problem(403, "forbidden")
}

func TestAdminSeriesOfModels(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	g.asked(t, org, outbox.NewID(), "ollama", "ok", "", "0")
	g.asked(t, org, outbox.NewID(), "ollama", "timeout", "", "0")
	g.asked(t, org, outbox.NewID(), "rules", "ok", "", "30 minutes")
	g.execute(t, `INSERT INTO ai_usage_hours (organization_id, hour, kind, provider, model, calls, answers, failures, cacheable, cached, prompt_tokens, completion_tokens,
		latency_ms, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr)
		VALUES ($1, now() - interval '20 hours', 'ai.chat', 'groq', 'm', 4, 3, 1, 0, 0, 0, 0, 3000, 0, 0, 10000000, 30000000)`, org)
	for step, want := range map[string][5]int64{"minute": {1, 0, 0, 1, 1}, "hour": {1, 3, 0, 1, 2}} {
		var v operator.AISeries
		g.call(t, testAdminKey, "GET", "/api/admin/ai/series?step="+step, "").want(200).json(&v)
		var got [5]int64
		for i, p := range v.Points {
			for j, n := range []int64{p.Ollama, p.Groq, p.Cache, p.Rules, p.Failures} {
				got[j] += n
			}
			if i > 0 && p.At.Sub(v.Points[i-1].At) != map[string]time.Duration{"minute": time.Minute, "hour": time.Hour}[step] {
				t.Errorf("%s: a gap before %s", step, p.At)
			}
			if p.Groq > 0 && (*p.LatencyMS != 1000 || p.Saved != 2) {
				t.Errorf("%+v", p)
			}
		}
		if got != want || step == "minute" && len(v.Points) != 60 || step == "hour" && len(v.Points) < 48 {
			t.Errorf("%s: %v in %d points, want %v", step, got, len(v.Points), want)
		}
	}
}

func TestAdminListsCalls(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	other, _ := g.organization(t)
	job := outbox.NewID()
	first := g.asked(t, org, job, "ollama", "timeout", "", "0")
	second := g.asked(t, org, job, "groq", "ok", "timeout", "0")
	third := g.asked(t, other, outbox.NewID(), "ollama", "ok", "", "0")
	for query, want := range map[string][]string{
		"": {third, second, first}, "provider=ollama": {third, first}, "outcome=timeout": {first}, "model=m&provider=groq": {second},
		"organization=" + other: {third}, "job=" + job: {second, first}, "model=none": nil,
		"started_before=2020-01-01T00:00:00Z": nil, "started_after=2020-01-01T00:00:00Z": {third, second, first},
	} {
		var v operator.AICallList
		g.call(t, testAdminKey, "GET", "/api/admin/ai/calls?"+query, "").want(200).json(&v)
		var got []string
		for _, c := range v.Data {
			got = append(got, c.ID)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	var v, rest operator.AICallList
	g.call(t, testAdminKey, "GET", "/api/admin/ai/calls?limit=2", "").want(200).json(&v)
	g.call(t, testAdminKey, "GET", "/api/admin/ai/calls?limit=2&cursor="+*v.NextCursor, "").want(200).json(&rest)
	if len(v.Data) != 2 || !v.HasMore || len(rest.Data) != 1 || rest.HasMore || rest.Data[0].ID != first || *rest.Data[0].Detail != "why" {
		t.Errorf("pages: %+v, %+v", v, rest)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/ai/calls?outcome=ok&cursor="+*v.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, testAdminKey, "GET", "/api/admin/ai/calls?job=x", "").problem(422, "validation_failed", "/query/job")
}

// worker makes a process that lives and says something of its providers.
func (g *rig) worker(t testing.TB, id, queues string, states ...store.ProviderState) {
	t.Helper()
	err := store.RegisterWorker(t.Context(), g.system.Pool(), store.WorkerProcess{ID: id, Host: "one", PID: 1, Queues: json.RawMessage(queues), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.BeatWorker(t.Context(), g.system.Pool(), id, states); err != nil {
		t.Fatal(err)
	}
}
