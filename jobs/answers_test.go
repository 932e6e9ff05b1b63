package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// answering lets a site keep answers. Its models may take their time.
func answering(c *inference.Config, d *jobs.Deps) {
	d.Answers, c.FastBudget = d.Cache.(*cachetag.Cache), 10*patience
}

// another starts a worker that shares nothing with the site's own but the servers, as another process would.
func (s *site) another(queues map[string]int) (stop func()) {
	s.t.Helper()
	o := &site{t: s.t, organization: s.organization, url: s.url, nc: s.nc, stream: s.stream, logged: s.logged, deps: s.deps}
	o.db, o.relaxed = o.open(false), o.open(true)
	chain, err := inference.New(s.config)
	s.must(err)
	cache := openCache(s.t, localstack.TestRedis(s.t).URL())
	o.deps.DB, o.deps.Relaxed, o.deps.Model, o.deps.Cache, o.deps.Answers = o.db, o.relaxed, chain, cache, cache
	return o.worker(queues)
}

func openCache(t *testing.T, url string) *cachetag.Cache {
	t.Helper()
	cache, err := cachetag.Open(cachetag.Options{URL: url, ReadTimeout: patience, WriteTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

// asked counts the questions that a model server was asked.
func asked(p *faults.Proxy) (n int) {
	for _, r := range p.Requests() {
		if strings.HasSuffix(r.Path, "/api/chat") || strings.HasSuffix(r.Path, "/chat/completions") {
			n++
		}
	}
	return n
}

// held has a model server wait, until it may answer or nobody waits for it.
func held(open <-chan struct{}) faults.Fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		select {
		case <-open:
			pass(w, r)
		case <-r.Context().Done():
		}
	}
}

// A tally is what ai_calls say of an organization's answers.
type tally struct {
	Cached, Cacheable, Others int
	HitRate                   float64
}

func (s *site) tally() (sum tally) {
	s.t.Helper()
	const query = `SELECT count(*) FILTER (WHERE cached AND cacheable AND provider = 'cache' AND outcome = 'ok'
	                          AND prompt_tokens + completion_tokens + cost_nano_usd = 0),
	                      count(*) FILTER (WHERE cacheable), count(*) FILTER (WHERE NOT cacheable),
	                      coalesce(count(*) FILTER (WHERE cached)::float8 / nullif(count(*) FILTER (WHERE cacheable), 0), 0)
	               FROM ai_calls WHERE organization_id = $1`
	s.must(s.db.Pool().QueryRow(s.t.Context(), query, s.organization).Scan(&sum.Cached, &sum.Cacheable, &sum.Others, &sum.HitRate))
	return sum
}

// allSucceed waits for the end of jobs, and gives their answers.
func (s *site) allSucceed(ids []string) (answers []jobs.Answer) {
	s.t.Helper()
	s.eventually("all jobs end", func() error {
		var left, failed int
		s.scan(&left, `SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NULL`, ids)
		s.scan(&failed, `SELECT count(*) FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NOT NULL AND status <> 'succeeded'`, ids)
		if failed > 0 {
			s.t.Fatalf("%d jobs failed", failed)
		}
		if left > 0 {
			return fmt.Errorf("%d are left", left)
		}
		return nil
	})
	rows, err := s.db.Pool().Query(s.t.Context(), `SELECT output FROM jobs WHERE id = ANY($1::uuid[])`, ids)
	s.must(err)
	outputs, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	s.must(err)
	for _, output := range outputs {
		var a jobs.Answer
		s.must(json.Unmarshal(output, &a))
		answers = append(answers, a)
	}
	return answers
}

// slowly has a model server take its time before it begins.
func slowly(d time.Duration) faults.Fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		open := make(chan struct{})
		timer := time.AfterFunc(d, func() { close(open) })
		defer timer.Stop()
		held(open)(w, r, pass)
	}
}

func TestAThousandIdenticalJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	s.ollama.Every(slowly(time.Second))
	s.worker(map[string]int{"ai": 16})
	s.another(map[string]int{"ai": 16})
	began := time.Now()
	answers := s.allSucceed(s.submitMany(1000, "ai.completion", `{"prompt":"What is GST?","max_tokens":400}`))
	t.Logf("1000 answers in %s", time.Since(began))
	text, made := answers[0].Text, 0
	for _, a := range answers {
		switch {
		case a.Text != text || text == "" || a.Model != "mistral:7b" || a.PromptTokens == 0 || a.CompletionTokens == 0 || a.FallbackReason != nil:
			t.Fatalf("an answer is %+v, want the same as %q", a, text)
		case a.Cached && (a.Provider != "cache" || len(a.Attempts) != 0 || a.Attempts == nil):
			t.Fatalf("a copy is %+v", a)
		case !a.Cached && a.Provider != inference.Ollama:
			t.Fatalf("an answer is %+v", a)
		case !a.Cached:
			made++
		}
	}
	if n := asked(s.ollama) + asked(s.groq); n != 1 || made != 1 {
		t.Errorf("the model was asked %d times for %d answers", n, made)
	}
	if got, want := s.tally(), (tally{Cached: 999, Cacheable: 1000, HitRate: 0.999}); got != want {
		t.Errorf("the calls say %+v, want %+v", got, want)
	}
	var unequal int
	s.scan(&unequal, `SELECT count(DISTINCT shadow_nano_usd) FROM ai_calls WHERE organization_id = $1 AND shadow_nano_usd > 0`, s.organization)
	if unequal != 1 {
		t.Errorf("%d different savings, want each copy to save what the answer would have cost", unequal)
	}
}

func TestManyIdenticalInquiries(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	s.ollama.Every(slowly(time.Second))
	s.worker(map[string]int{"ai": 8, "cache": 4})
	s.another(map[string]int{"ai": 8, "cache": 4})
	id := s.contact("Asha Rao", map[string]any{"company": "Rao Textiles"})
	answers := s.allSucceed(s.submitMany(100, "ai.lead_score", fmt.Sprintf(`{"contact_id":%q}`, strings.ToUpper(id))))
	for _, a := range answers {
		if string(a.JSON) != string(answers[0].JSON) || a.Text != answers[0].Text {
			t.Fatalf("an answer is %s, want %s", a.JSON, answers[0].JSON)
		}
	}
	if n := asked(s.ollama) + asked(s.groq); n != 1 {
		t.Errorf("the model was asked %d times", n)
	}
	if got, want := s.tally(), (tally{Cached: 99, Cacheable: 100, HitRate: 0.99}); got != want {
		t.Errorf("the calls say %+v, want %+v", got, want)
	}
	var version int
	s.scan(&version, `SELECT version FROM ai_insights WHERE contact_id = $1 AND kind = 'ai.lead_score'`, id)
	if version < 1 {
		t.Errorf("the insight has version %d", version)
	}
}

// states appends facts as the API does, and waits until all that was cached of them is void.
func (s *site) states(tag string, facts ...events.Fact) {
	s.t.Helper()
	const query = `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND state = 'completed' AND args -> 'tags' ? $1`
	var before, after int
	s.scan(&before, query, tag)
	s.must(s.db.Tx(s.t.Context(), func(tx pgx.Tx) error {
		return outbox.Append(s.t.Context(), tx, outbox.Origin{OrganizationID: s.organization}, facts...)
	}))
	s.eventually("the facts are known", func() error {
		if s.scan(&after, query, tag); after < before+len(facts) {
			return errors.New("not yet")
		}
		return nil
	})
}

// What a change makes void is what was made from it, and nothing else; and a score is not made from itself.
func TestAChangeMakesAnswersFresh(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	id := s.contact("Asha Rao", map[string]any{"email": "asha@example.in"})
	other := s.contact("Ravi Shah", nil)
	input := fmt.Sprintf(`{"contact_id":%q}`, strings.ToUpper(id)) // facts write it in small letters
	next := func(after, provider string) {
		t.Helper()
		if a := s.answer(s.submit("ai.lead_score", input)); a.Provider != provider {
			t.Errorf("after %s the answer is by %s, want %s", after, a.Provider, provider)
		}
	}
	next("nothing", "ollama")
	s.eventually("the score is known", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM river_job WHERE kind = 'cache.invalidate' AND state = 'completed'`); n != 1 {
			return fmt.Errorf("%d invalidations", n)
		}
		return nil
	})
	next("the score", "cache")

	s.exec(`UPDATE contacts SET notes = 'Moved.', version = version + 1 WHERE id = $1`, other)
	s.states("contact:"+other, events.ContactUpdated{ContactID: other, Changed: []string{"notes"}, Version: 2})
	next("another contact's change", "cache")

	// No model sees the address: the question is the same, and asked anew all the same.
	s.exec(`UPDATE contacts SET email = 'rao@example.in', version = version + 1 WHERE id = $1`, id)
	s.states("contact:"+id, events.ContactUpdated{ContactID: id, Changed: []string{"email"}, Version: 3})
	next("a change", "ollama")
	next("that", "cache")

	deal := outbox.NewID()
	s.states("deal:"+deal, events.DealDeleted{DealID: deal, ContactID: id, Version: 2})
	next("a deal's change", "ollama")
	next("that", "cache")

	// The facts alone make it another question, even before anybody hears of them.
	s.exec(`UPDATE contacts SET notes = 'Wants GST billing.' WHERE id = $1`, id)
	next("a change that nobody knows of", "ollama")

	var provider string
	s.scan(&provider, `SELECT provider FROM ai_insights WHERE contact_id = $1`, id)
	if provider != "ollama" {
		t.Errorf("the insight is by %s", provider)
	}
	if n := asked(s.ollama); n != 4 {
		t.Errorf("the model was asked %d times", n)
	}
}

func TestOrganizationsDontShareAnswers(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	mine := s.answer(s.submit("ai.completion", `{"prompt":"hello"}`))
	again := s.answer(s.submit("ai.completion", "{\"prompt\":\" hello\\r\\n\"}"))
	chat := s.answer(s.submit("ai.chat", `{"messages":[{"role":"user","content":"hello"}]}`))
	s.organization = outbox.NewID()
	s.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Shah Traders', 'GJ')`, s.organization)
	others := s.answer(s.submit("ai.completion", `{"prompt":"hello"}`))
	if mine.Cached || !again.Cached || chat.Cached || others.Cached {
		t.Errorf("cached: mine %t, again %t, another kind %t, another organization's %t", mine.Cached, again.Cached, chat.Cached, others.Cached)
	}
}

// Who wants an answer of its own gets one, and gives it to nobody.
func TestNoStore(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	for _, input := range []string{`{"prompt":"hello","cache":"no-store"}`, `{"prompt":"hello"}`, `{"prompt":"hello","cache":"no-store"}`} {
		if a := s.answer(s.submit("ai.completion", input)); a.Cached {
			t.Errorf("%s was answered from the cache", input)
		}
	}
	if a := s.answer(s.submit("ai.completion", `{"prompt":"hello"}`)); !a.Cached {
		t.Error("what was kept is gone")
	}
	if got, want := s.tally(), (tally{Cached: 1, Cacheable: 2, Others: 2, HitRate: 0.5}); got != want {
		t.Errorf("the calls say %+v, want %+v", got, want)
	}
}

// What was cut, what the rules said and what failed is kept for nobody.
func TestOnlyWholeAnswersAreKept(t *testing.T) {
	t.Parallel()
	s := working(t, answering, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	cut := `{"prompt":"Count.","model":"tiny-slow","max_tokens":3}`
	for range 2 {
		if a := s.answer(s.submit("ai.completion", cut)); a.Cached || a.CompletionTokens != 3 {
			t.Errorf("got %+v, want a fresh answer of 3 tokens", a)
		}
	}
	bad := faults.OllamaSays(`{"score":"high"}`, "stop")
	s.ollama.Next(bad, bad)
	s.groq.Next(faults.GroqSays(`{"score":"high"}`, "stop"))
	input := `{"prompt":"Rate it.","schema":{"type":"object","properties":{"score":{"type":"integer"}},"required":["score"]}}`
	s.ends(s.submit("ai.completion", input), store.Failed)
	if a := s.answer(s.submit("ai.completion", input)); a.Cached || a.JSON == nil {
		t.Errorf("got %+v, want a fresh document", a)
	}
	contact := fmt.Sprintf(`{"contact_id":%q}`, s.contact("Asha Rao", nil))
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	for range 2 {
		if a := s.answer(s.submit("ai.lead_score", contact)); a.Provider != "rules" || a.Cached {
			t.Errorf("got %s, want the rules'", a.Provider)
		}
	}
	if got := s.tally(); got.Cached != 0 || got.Cacheable != 1 {
		t.Errorf("the calls say %+v, want one cacheable", got)
	}
}

// Whoever follows a job that is answered from the cache reads who says so, and the whole text once.
func TestACopyIsTold(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	contact := fmt.Sprintf(`{"contact_id":%q}`, s.contact("Asha Rao", nil))
	first := s.answer(s.submit("ai.lead_score", contact))
	id := s.submit("ai.lead_score", contact)
	copied := s.answer(id)
	if copied.Text != first.Text || string(copied.JSON) != string(first.JSON) || copied.Model != first.Model ||
		copied.PromptTokens != first.PromptTokens || copied.CompletionTokens != first.CompletionTokens {
		t.Errorf("the copy is %+v, want %+v", copied, first)
	}
	rows, err := s.db.Pool().Query(t.Context(), `SELECT type || ' ' || data::text FROM job_events WHERE job_id = $1 AND type <> 'status' ORDER BY seq`, id)
	s.must(err)
	told, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	text, err := json.Marshal(first.Text)
	s.must(err)
	want := fmt.Sprint([]string{`provider {"model":"mistral:7b","provider":"cache","reason":null}`, `token {"text":` + string(text) + `}`})
	if fmt.Sprint(told) != want {
		t.Errorf("told %s\nwant %s", told, want)
	}
	// Who asked first has found it out: a copy is no news.
	var insight string
	var events int
	s.scan(&insight, `SELECT provider || ' ' || model || ' ' || version FROM ai_insights`)
	s.scan(&events, `SELECT count(*) FROM outbox WHERE type = 'insight.updated'`)
	if insight != "ollama mistral:7b 1" || events != 1 {
		t.Errorf("the insight is by %s, told %d times", insight, events)
	}
}

// unreadable keeps answers that this program can't read.
type unreadable struct{}

func (unreadable) Claim(context.Context, cachetag.Entry, string, time.Duration) *cachetag.Claim {
	return &cachetag.Claim{Outcome: cachetag.Hit, Value: []byte(`{"json":1,"text":2}`)}
}

func TestAnUnreadableCopyIsAskedAnew(t *testing.T) {
	t.Parallel()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Answers = unreadable{} })
	if a := s.answer(s.submit("ai.completion", `{"prompt":"hello"}`)); a.Cached || a.Text == "" {
		t.Errorf("got %+v", a)
	}
}
