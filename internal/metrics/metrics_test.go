package metrics

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newMetrics(t testing.TB, change ...func(*Config)) *Metrics {
	t.Helper()
	c := Config{Version: "test", Kinds: map[string]string{"ai.chat": "ai", "mail.send": "mail", "odd.kind": "odd"},
		Tiers: map[string]string{"mistral:7b": "fast", "llama2:13b": "large"}}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

// scrape reads the metrics as Prometheus does.
func scrape(t testing.TB, m *Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s, %v", w.Code, body, err)
	}
	return string(body)
}

const openMetrics = "application/openmetrics-text;version=1.0.0"

// ours are the series of the product.
func ours(exposition string) (list []string) {
	for line := range strings.Lines(exposition) {
		if strings.HasPrefix(line, "payaid_") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

func wantLines(t *testing.T, exposition string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(exposition, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

// Whatever clients send and databases hold, they make no more series than there are words in the vocabulary.
func TestNobodyMakesSeries(t *testing.T) {
	t.Parallel()
	series := func(n int) int {
		m := newMetrics(t)
		for i := range n {
			odd := fmt.Sprintf("odd-%d\n\"}", i)
			if i%2 == 0 {
				odd += "\xff" // no UTF-8, which a label must be
			}
			m.Request(Request{Method: odd, Route: "-", Status: i})
			m.Request(Request{Method: "GET", Route: "/api/" + odd, Status: 200})
			m.Attempt(Attempt{Kind: odd, Outcome: "succeeded"})
			m.Attempt(Attempt{Kind: "ai.chat", Outcome: odd})
			m.Question(Question{FallbackReason: odd, Calls: []Call{{Provider: "ollama", Model: odd, Outcome: "ok"}, {Provider: odd, Model: odd, Outcome: odd}}})
			m.Send(odd, time.Second)
			m.Delivery(odd, false, time.Second, odd)
			m.DeliveryEnded(odd)
		}
		return len(ours(scrape(t, m, "")))
	}
	few, many := series(2000), series(8000)
	if few != many {
		t.Errorf("2000 odd requests made %d series, 8000 made %d", few, many)
	}
	if many > 8000 {
		t.Errorf("%d series", many)
	}
	t.Logf("%d series", many)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	m := newMetrics(t)
	m.Request(Request{Method: "GET", Route: "/api/contacts/{id}", Status: 200, Took: 30 * time.Millisecond})
	m.Request(Request{Method: "GET", Route: "/api/contacts/{id}", Status: 503, Took: 20 * time.Second})
	m.Request(Request{Method: "GET", Route: "/api/jobs/{id}/events", Status: 200, Took: time.Hour, Lasting: true})
	m.Request(Request{Method: "BREW", Route: "-", Status: 404})
	got := scrape(t, m, "")
	wantLines(t, got,
		`payaid_http_requests_total{method="GET",route="/api/contacts/{id}",status="2xx"} 1`,
		`payaid_http_requests_total{method="GET",route="/api/contacts/{id}",status="5xx"} 1`,
		`payaid_http_requests_total{method="GET",route="/api/jobs/{id}/events",status="2xx"} 1`,
		`payaid_http_requests_total{method="other",route="other",status="4xx"} 1`,
		`payaid_http_request_duration_seconds_bucket{method="GET",route="/api/contacts/{id}",le="0.025"} 0`,
		`payaid_http_request_duration_seconds_bucket{method="GET",route="/api/contacts/{id}",le="0.05"} 1`,
		`payaid_http_request_duration_seconds_bucket{method="GET",route="/api/contacts/{id}",le="10"} 1`,
		`payaid_http_request_duration_seconds_bucket{method="GET",route="/api/contacts/{id}",le="+Inf"} 2`,
		`payaid_build_info{version="test"} 1`)
	if strings.Contains(got, `duration_seconds_count{method="GET",route="/api/jobs/{id}/events"}`) {
		t.Error("the time of a stream was measured")
	}
}

// Bounds fit what is measured, and a lost attempt has no times.
func TestAttempts(t *testing.T) {
	t.Parallel()
	m := newMetrics(t)
	m.Attempt(Attempt{Kind: "ai.chat", Outcome: "succeeded", Wait: 3 * time.Second, Took: 70 * time.Second})
	m.Attempt(Attempt{Kind: "mail.send", Outcome: "retried", Took: 20 * time.Millisecond})
	m.Attempt(Attempt{Kind: "mail.send", Outcome: "lost", Lost: true})
	m.Attempt(Attempt{Kind: "odd.kind", Outcome: "failed", Took: time.Hour})
	wantLines(t, scrape(t, m, ""),
		`payaid_job_attempts_total{kind="ai.chat",outcome="succeeded",queue="ai"} 1`,
		`payaid_job_attempts_total{kind="ai.chat",outcome="failed",queue="ai"} 0`, // so that its first one is an increase
		`payaid_job_attempts_total{kind="mail.send",outcome="lost",queue="mail"} 1`,
		`payaid_job_attempt_duration_seconds_bucket{kind="ai.chat",queue="ai",le="60"} 0`,
		`payaid_job_attempt_duration_seconds_bucket{kind="ai.chat",queue="ai",le="120"} 1`,
		`payaid_job_attempt_duration_seconds_bucket{kind="mail.send",queue="mail",le="0.025"} 1`,
		`payaid_job_attempt_duration_seconds_count{kind="mail.send",queue="mail"} 1`,
		`payaid_job_attempt_duration_seconds_bucket{kind="odd.kind",queue="odd",le="3600"} 1`,
		`payaid_job_wait_seconds_bucket{queue="ai",le="1"} 0`, `payaid_job_wait_seconds_bucket{queue="ai",le="5"} 1`,
		`payaid_job_wait_seconds_count{queue="mail"} 1`)
}

func TestQuestionsAndMails(t *testing.T) {
	t.Parallel()
	m := newMetrics(t)
	m.Question(Question{FallbackReason: "timeout", Calls: []Call{
		{Provider: "ollama", Model: "mistral:7b", Outcome: "timeout", Took: time.Second},
		{Provider: "groq", Model: "my/own", Outcome: "ok", Took: 2 * time.Second, PromptTokens: 100, CompletionTokens: 20, CostNanoUSD: 5e8, ShadowNanoUSD: 5e8},
	}})
	m.Question(Question{Failed: true, Calls: []Call{{Provider: "ollama", Model: "llama2:13b", Outcome: "breaker_open", CostNanoUSD: -1, PromptTokens: -1}}})
	m.Send("accepted", 20*time.Millisecond)
	m.Send("blocked", time.Second)
	wantLines(t, scrape(t, m, ""),
		`payaid_ai_questions_total{outcome="answered"} 1`, `payaid_ai_questions_total{outcome="failed"} 1`,
		`payaid_ai_fallbacks_total{reason="timeout"} 1`,
		`payaid_ai_calls_total{model="fast",outcome="timeout",provider="ollama"} 1`,
		`payaid_ai_calls_total{model="large",outcome="breaker_open",provider="ollama"} 1`,
		`payaid_ai_calls_total{model="other",outcome="ok",provider="groq"} 1`,
		`payaid_ai_tokens_total{direction="prompt",model="other",provider="groq"} 100`,
		`payaid_ai_cost_usd_total{provider="groq"} 0.5`, `payaid_ai_cost_usd_total{provider="ollama"} 0`,
		`payaid_ai_call_duration_seconds_count{model="other",provider="groq"} 1`,
		`payaid_mail_sends_total{outcome="accepted"} 1`, `payaid_mail_sends_total{outcome="blocked"} 1`,
		`payaid_mail_send_duration_seconds_count 2`)
	if got := scrape(t, m, ""); strings.Contains(got, `ai_call_duration_seconds_count{model="fast"`) {
		t.Error("a call that gave no answer was measured")
	}
}

// Attempts are told by what became of them, and those without an answer apart from the others.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	m := newMetrics(t)
	m.Delivery("", true, 80*time.Millisecond, "")
	m.Delivery("status", true, 30*time.Millisecond, "")
	m.Delivery("timeout", false, 15*time.Second, "")
	m.Delivery("https://hooks.customer.example/?token=x", false, time.Second, "")
	m.DeliveryEnded("succeeded")
	got := scrape(t, m, "")
	wantLines(t, got,
		`payaid_webhook_attempts_total{outcome="succeeded"} 1`, `payaid_webhook_attempts_total{outcome="status"} 1`,
		`payaid_webhook_attempts_total{outcome="timeout"} 1`, `payaid_webhook_attempts_total{outcome="other"} 1`,
		`payaid_webhook_attempts_total{outcome="dns"} 0`, // so that its first one is an increase
		`payaid_webhook_attempt_duration_seconds_bucket{answered="true",le="0.05"} 1`,
		`payaid_webhook_attempt_duration_seconds_bucket{answered="true",le="0.1"} 2`,
		`payaid_webhook_attempt_duration_seconds_count{answered="false"} 2`,
		`payaid_webhook_deliveries_ended_total{status="succeeded"} 1`, `payaid_webhook_deliveries_ended_total{status="failed"} 0`)
	if strings.Contains(got, "customer.example") {
		t.Error("a code that nobody knows became a label")
	}
}

// A link to a trace that nobody keeps leads nowhere.
func TestExemplarsOfKeptTraces(t *testing.T) {
	t.Parallel()
	const kept, dropped = "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000bad"
	m := newMetrics(t, func(c *Config) { c.Sampled = func(id string) bool { return id == kept } })
	m.Request(Request{Method: "GET", Route: "/a", Status: 200, TraceID: kept})
	m.Request(Request{Method: "GET", Route: "/b", Status: 200, TraceID: dropped})
	m.Request(Request{Method: "GET", Route: "/b", Status: 200})
	m.Attempt(Attempt{Kind: "ai.chat", Outcome: "succeeded", TraceID: kept})
	got := scrape(t, m, openMetrics)
	if n := strings.Count(got, `# {trace_id="`+kept+`"}`); n != 2 {
		t.Errorf("%d links to the kept trace, want 2", n)
	}
	if strings.Contains(got, dropped) || strings.Contains(scrape(t, newMetrics(t), openMetrics), "trace_id") {
		t.Error("there is a link that leads nowhere")
	}
}

func TestHandlerAnswersNothingElse(t *testing.T) {
	t.Parallel()
	h := newMetrics(t).Handler(slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"GET", "/livez", 200}, {"GET", "/", 404}, {"GET", "/debug/pprof/", 404},
		{"GET", "/api/contacts", 404}, {"POST", "/metrics", 405}, {"DELETE", "/livez", 405}, {"GET", "/metrics/", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.want {
			t.Errorf("%s %s: got %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}
