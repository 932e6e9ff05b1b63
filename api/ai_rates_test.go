package api

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
)

// rated makes a rig keep AI jobs to rates, in a Redis or without one by itself, and knows one more AI kind.
func rated(t testing.TB, r *localstack.Redis, rates ...AIRate) func(*Config) {
	t.Helper()
	c := ratelimit.Config{Window: time.Hour, Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
	if r != nil {
		o, err := redis.ParseURL(r.URL())
		if err != nil {
			t.Fatal(err)
		}
		c.Redis = o
	}
	l := ratelimit.New(c)
	t.Cleanup(func() { l.Close() })
	for i := range rates {
		rates[i].Limiter = l
	}
	return func(c *Config) {
		c.AIRates = rates
		c.Kinds = append(c.Kinds, Kind{Name: "ai.daily_briefing", Queue: "ai", Scope: "jobs", Share: 10, MaxAttempts: 2},
			Kind{Name: "ai.pull_model", Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2})
	}
}

const (
	aMail     = `{"kind":"mail.send","input":{}}`
	aBriefing = `{"kind":"ai.daily_briefing","input":{}}`
)

func batchOf(list ...string) string { return `{"jobs":[` + strings.Join(list, ",") + `]}` }

// jobsOf counts an organization's jobs.
func (g *rig) jobsOf(t *testing.T, organizationID string) (n int) {
	t.Helper()
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM jobs WHERE organization_id = $1`, organizationID).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAIRates(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func() *localstack.Redis{
		"redis": func() *localstack.Redis { return localstack.TestRedis(t) }, "alone": func() *localstack.Redis { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, rated(t, server(), AIRate{Plan: "free", Limit: 5}, AIRate{Plan: "*", Kind: "ai.daily_briefing", Limit: 2},
				AIRate{Plan: "pro", Limit: 1000}))
			id, key := g.organization(t)
			_, other := g.organization(t)
			g.call(t, key, "POST", "/api/jobs", aBriefing).want(202)
			g.call(t, key, "POST", "/api/jobs/batch", batchOf(aBriefing, aCompletion, aMail)).want(202)
			// The kind's own limit, and what was counted for all kinds before it was seen is given back.
			for range 4 {
				p := g.call(t, key, "POST", "/api/jobs", aBriefing)
				p.problem(429, "ai_rate_limited")
				if !strings.Contains(string(p.body), "the plan free allows 2 jobs of ai.daily_briefing in 1h") || p.header.Get("Retry-After") == "" {
					t.Fatalf("%s, Retry-After %q", p.body, p.header.Get("Retry-After"))
				}
			}
			// A batch is let through whole or not at all.
			p := g.call(t, key, "POST", "/api/jobs/batch", batchOf(aCompletion, aCompletion, aCompletion, aMail))
			p.problem(429, "ai_rate_limited")
			if !strings.Contains(string(p.body), "the plan free allows 5 AI jobs in 1h, and 2 more now; these are 3") {
				t.Errorf("%s", p.body)
			}
			g.call(t, key, "POST", "/api/jobs/batch", batchOf(aCompletion, aCompletion, aMail)).want(202)
			g.call(t, key, "POST", "/api/jobs", aCompletion).problem(429, "ai_rate_limited")
			g.call(t, key, "POST", "/api/jobs", aMail).want(202)
			g.call(t, other, "POST", "/api/jobs", aCompletion).want(202)
			if n := g.jobsOf(t, id); n != 8 {
				t.Errorf("%d jobs were made, want 8", n)
			}
			p = g.call(t, other, "POST", "/api/jobs/batch", batchOf(aCompletion, aCompletion, aCompletion, aCompletion, aCompletion, aCompletion))
			p.problem(429, "ai_rate_limited")
			if !strings.Contains(string(p.body), "more than it ever takes at once") {
				t.Errorf("%s", p.body)
			}
			for range 8 { // the operator's own
				g.call(t, testAdminKey, "POST", "/api/jobs", `{"kind":"ai.pull_model","input":{}}`).want(202)
			}
		})
	}
}

// A repeat makes no job, and what could not be stored doesn't count either.
func TestAIRatesCountWhatIsMade(t *testing.T) {
	t.Parallel()
	g := newRig(t, rated(t, localstack.TestRedis(t), AIRate{Plan: "*", Limit: 3}))
	id, key := g.organization(t)
	for range 5 {
		g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "a").want(202)
	}
	g.call(t, key, "POST", "/api/jobs", aBriefing, "Idempotency-Key", "a").problem(422, "idempotency_key_reused")
	g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{}}`).problem(422, "validation_failed")
	// The database throws it out, after it was counted.
	g.exec(t, `ALTER TABLE jobs ADD CONSTRAINT full_up CHECK (metadata <> '{"full":true}') NOT VALID`)
	const fullUp = 500
	full := strings.Replace(aCompletion, "{", `{"metadata":{"full":true},`, 1)
	for i := range 4 {
		g.call(t, key, "POST", "/api/jobs", full).want(fullUp)
		g.call(t, key, "POST", "/api/jobs", full, "Idempotency-Key", fmt.Sprint("full", i)).want(fullUp)
	}
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "b").want(202)
	g.call(t, key, "POST", "/api/jobs", aCompletion).want(202)
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "c").problem(429, "ai_rate_limited")
	g.call(t, key, "POST", "/api/jobs", aCompletion, "Idempotency-Key", "a").want(202)
	if n := g.jobsOf(t, id); n != 3 {
		t.Errorf("%d jobs were made, want 3", n)
	}
}

// Who tries jobs again that have ended has models asked as much as who submits them.
func TestAIRatesCountRetries(t *testing.T) {
	t.Parallel()
	g := newRig(t, rated(t, localstack.TestRedis(t), AIRate{Plan: "*", Limit: 3}))
	_, key := g.organization(t)
	id := g.call(t, key, "POST", "/api/jobs", aCompletion).want(202).job().ID
	mail := g.call(t, key, "POST", "/api/jobs", aMail).want(202).job().ID
	again := func(id string) *reply {
		g.call(t, key, "POST", "/api/jobs/"+id+"/cancel", "").want(200)
		return g.call(t, key, "POST", "/api/jobs/"+id+"/retry", "")
	}
	for range 2 {
		again(id).want(200)
		g.call(t, key, "POST", "/api/jobs/"+id+"/retry", "").want(200) // it is under way
	}
	p := again(id)
	p.problem(429, "ai_rate_limited")
	if p.header.Get("Retry-After") == "" {
		t.Error("nothing says when it may be tried again")
	}
	if j := g.call(t, key, "GET", "/api/jobs/"+id, "").want(200).job(); j.Status != "cancelled" {
		t.Errorf("the job is %s", j.Status)
	}
	again(mail).want(200)
}

func TestAIRatesAtOnce(t *testing.T) {
	t.Parallel()
	const limit = 20
	g := newRig(t, rated(t, localstack.TestRedis(t), AIRate{Plan: "*", Limit: limit}))
	id, key := g.organization(t)
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			headers := []string{}
			if i%2 == 0 {
				headers = []string{"Idempotency-Key", fmt.Sprint(i)}
			}
			n := 1 + i%3
			list := make([]string, n)
			for j := range list {
				list[j] = aCompletion
			}
			if r := g.call(t, key, "POST", "/api/jobs/batch", batchOf(list...), headers...); r.status == 202 {
				made.Add(int64(n))
			} else if r.status != 429 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	if n := g.jobsOf(t, id); n != int(made.Load()) || n > limit || n < limit-2 {
		t.Errorf("%d jobs, %d answered, want %d", n, made.Load(), limit)
	}
}

func TestBudgetIsToldAtSubmit(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, key := g.organization(t)
	submit := func(path, body string, headers ...string) string {
		t.Helper()
		return strings.Join(g.call(t, key, "POST", path, body, headers...).want(202).header.Values(budgetHeader), ",")
	}
	if got := submit("/api/jobs", aCompletion); got != "" {
		t.Errorf("without a budget: %q", got)
	}
	patch := func(budget string) {
		t.Helper()
		g.call(t, key, "PATCH", "/api/organization", `{"settings":{"ai":{"monthly_budget":`+budget+`}}}`).want(200)
	}
	patch("5000") // is known at once, though the answer before was remembered
	if got := submit("/api/jobs", aCompletion, "Idempotency-Key", "a"); got != "5000" {
		t.Errorf("with a budget: %q", got)
	}
	r := store.AIReservation{OrganizationID: id, ID: id, JobID: id, NanoINR: 1200*store.NanoPerPaisa + 1}
	if _, ok, err := g.system.ReserveAI(t.Context(), r, time.Now()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for path, body := range map[string]string{"/api/jobs": aCompletion, "/api/jobs/batch": batchOf(aMail, aCompletion)} {
		if got := submit(path, body); got != "3799" {
			t.Errorf("%s: %q, want what is left in whole paise", path, got)
		}
	}
	if got := submit("/api/jobs", aCompletion, "Idempotency-Key", "a"); got != "3799" {
		t.Errorf("a repeat: %q, want what is left now", got)
	}
	if got := submit("/api/jobs", aMail) + submit("/api/jobs/batch", batchOf(aMail)); got != "" {
		t.Errorf("a mail: %q", got)
	}
	patch("100")
	if got := submit("/api/jobs", aCompletion); got != "0" {
		t.Errorf("below what is spent: %q", got)
	}
	patch("null")
	if got := submit("/api/jobs", aCompletion); got != "" {
		t.Errorf("without a budget again: %q", got)
	}
	// The month is the organization's, and a change that another process makes is seen within seconds.
	g.exec(t, `UPDATE organizations SET settings = '{"ai":{"monthly_budget":7}}' WHERE id = $1`, id)
	g.exec(t, `UPDATE ai_budgets SET month = '2020-01-01'`)
	until := time.Now().Add(10 * time.Second)
	for got := ""; got != "7"; got = submit("/api/jobs", aCompletion) {
		if time.Now().After(until) {
			t.Fatal("the change of another process is not seen")
		}
	}
}

// The common submit asks nothing of the database but to store it.
func TestTermsAreAskedForSeldom(t *testing.T) {
	t.Parallel()
	var c termsCache
	now := time.Now()
	_, known, epoch := c.get("a", now)
	c.put("a", store.AITerms{Plan: "pro"}, epoch, now)
	if terms, known, _ := c.get("a", now.Add(termsTTL-1)); !known || terms.Plan != "pro" {
		t.Errorf("got %+v, %v", terms, known)
	}
	if _, known, _ := c.get("a", now.Add(termsTTL)); known {
		t.Error("it is known for ever")
	}
	if known {
		t.Error("it was known before")
	}
}
