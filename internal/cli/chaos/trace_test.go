package chaos

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/collector"
	"github.com/payaid/payaid/internal/localstack/faults"
)

// newTraced is a stack whose processes send their traces to a collector.
func newTraced(t *testing.T) (*stack, *collector.Collector) {
	t.Helper()
	s, c := newStack(t), collector.Start(t)
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL(), "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")
	return s, c
}

// named finds spans by the beginnings of their names.
func named(spans []collector.Span, name string) (found []collector.Span) {
	for _, s := range spans {
		if s.Name == name || strings.HasSuffix(name, "*") && strings.HasPrefix(s.Name, strings.TrimSuffix(name, "*")) {
			found = append(found, s)
		}
	}
	return found
}

// of are the spans of the trace that a job belongs to, by the span of its attempt.
func of(spans []collector.Span, trace string) []collector.Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s collector.Span) bool { return s.Trace != trace })
}

// attempts are the spans in which a job was worked.
func attempts(spans []collector.Span, job string) []collector.Span {
	return slices.DeleteFunc(named(spans, "work *"), func(s collector.Span) bool { return s.Attributes["payaid.job.id"] != job })
}

// connected reports whether a trace below a parent has come, and the spans of such a name with it: each process sends
// its own.
func connected(spans []collector.Span, parent, name string) bool {
	known := map[string]bool{parent: true}
	for _, s := range spans {
		known[s.ID] = true
	}
	return len(named(spans, name)) > 0 && !slices.ContainsFunc(spans, func(s collector.Span) bool { return !known[s.Parent] })
}

// descends fails the test unless each of the named spans is the child of the one before, in one trace; it gives the last.
func descends(t *testing.T, spans []collector.Span, from collector.Span, names ...string) collector.Span {
	t.Helper()
	at := from
	for _, name := range names {
		next := slices.IndexFunc(spans, func(s collector.Span) bool {
			return s.Parent == at.ID && s.Trace == at.Trace && len(named([]collector.Span{s}, name)) == 1
		})
		if next < 0 {
			t.Fatalf("%q has no child %q:\n%s", at.Name, name, collector.Trees(of(spans, at.Trace)))
		}
		at = spans[next]
	}
	return at
}

// private is what no trace may show: what people wrote, who they are, keys. Fewer digits than a telephone number's are
// found in some time of any trace.
var private = []string{"Lakshmi", "Venkataraman", "lakshmi.v@customer.example", "customer.example", "98450 12345", "9845012345", "Reminder of the wedding", adminKey}

// TestATraceLeadsFromTheRequestToTheModel follows a question whose model refuses connections, and which the fallback
// answers, through all processes.
func TestATraceLeadsFromTheRequestToTheModel(t *testing.T) {
	t.Parallel()
	model := localstack.TestOllama(t)
	warm(t, model)
	groq := faults.New(t, model.URL())
	s, c := newTraced(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Venkataraman and Sons")
	s.relay("relay")
	worker := s.worker("worker", "GROQ_BASE_URL="+groq.URL+"/v1", "GROQ_API_KEY_FALLBACK=test")

	const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r, err := own.call(t.Context(), http.MethodPost, "/api/jobs",
		`{"kind":"ai.completion","input":{"prompt":"Thank Lakshmi Venkataraman, +91 98450 12345, for paying.","mode":"relaxed","max_tokens":20,"cache":"no-store"}}`,
		"Traceparent", client, "X-Request-ID", "trace-me")
	must(t, "submit", err)
	var j job
	must(t, "submit", r.into(&j))
	if a := own.done(t, j.ID, time.Minute).answer(t); a.Provider != "groq" {
		t.Fatalf("it was answered by %+v", a)
	}
	spans := c.Until(within(t, time.Minute), t, "the trace of the job", func(spans []collector.Span) bool {
		return len(attempts(spans, j.ID)) == 1 && connected(of(spans, client[3:35]), client[36:52], "route job.completed")
	})
	trace := of(spans, client[3:35])
	t.Logf("the trace of the request:\n%s", collector.Trees(trace))

	roots := slices.DeleteFunc(slices.Clone(trace), func(s collector.Span) bool { return s.Parent != client[36:52] })
	if len(roots) != 1 || roots[0].Name != "POST /api/jobs" || roots[0].Kind != "server" || roots[0].Service != "payaid-api" ||
		roots[0].Attributes["payaid.request_id"] != "trace-me" || roots[0].Attributes["http.response.status_code"] != "202" {
		t.Fatalf("below the client's span there is %+v", roots)
	}
	appended := descends(t, trace, roots[0], "append job.requested")
	descends(t, trace, appended, "BATCH")
	work := descends(t, trace, appended, "publish job.requested", "route job.requested", "work ai.completion")
	if work.Service != "payaid-worker" || work.Attributes["payaid.job.outcome"] != "succeeded" || work.Failed != "" || len(work.Links) != 0 {
		t.Errorf("the work is %+v", work)
	}
	asked := descends(t, trace, work, "chat mistral:7b")
	if asked.Attributes["gen_ai.provider.name"] != "ollama" || asked.Failed == "" || asked.Kind != "client" {
		t.Errorf("Ollama was asked: %+v", asked)
	}
	answered := descends(t, trace, work, "chat openai/gpt-oss-20b")
	if answered.Attributes["gen_ai.provider.name"] != "groq" || answered.Failed != "" ||
		answered.Attributes["payaid.ai.fallback_reason"] != asked.Failed || answered.Attributes["gen_ai.usage.output_tokens"] == "0" {
		t.Errorf("Groq was asked: %+v", answered)
	}
	descends(t, trace, work, "COMMIT")
	descends(t, trace, work, "publish job.completed", "route job.completed")
	silent(t, c)

	// What is not sent yet is sent when a process ends.
	last := own.done(t, own.submit(t, "bench.noop", `{}`).ID, time.Minute).ID
	_, took, err := worker.terminate(within(t, time.Minute))
	must(t, "end the worker", err)
	t.Logf("the worker ended after %s", took.Round(time.Millisecond))
	if n := len(attempts(c.Spans(), last)); n != 1 {
		t.Errorf("after the worker's end there are %d spans of its last job", n)
	}
}

// silent fails the test for anything in the traces that is nobody's business.
func silent(t *testing.T, c *collector.Collector) {
	t.Helper()
	text := c.Text()
	for _, secret := range private {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("the traces show %q: …%s…", secret, text[max(0, at-200):min(len(text), at+100)])
		}
	}
	if !strings.Contains(text, "deployment.environment.name") {
		t.Error("the traces lack OTEL_RESOURCE_ATTRIBUTES")
	}
}

// TestARetryIsATraceOfItsOwn, linked to what asked for the job; so is a job that was to run later.
func TestARetryIsATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	flaky := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if visits.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(flaky.Close)
	s, c := newTraced(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Retried")
	s.relay("relay")
	s.worker("worker")
	retried := own.submit(t, "chaos.visit", `{"url":"`+flaky.URL+`"}`).ID
	if j := own.done(t, retried, time.Minute); j.Attempt != 2 {
		t.Fatalf("it took %d attempts", j.Attempt)
	}
	// By now all processes are at work, and route it long before its time.
	later := own.submit(t, "bench.noop", `{}`, fmt.Sprintf(`,"run_at":%q`, time.Now().Add(6*time.Second).UTC().Format(time.RFC3339))).ID
	own.done(t, later, time.Minute)
	spans := c.Until(within(t, time.Minute), t, "all attempts", func(spans []collector.Span) bool {
		list := attempts(spans, retried)
		return len(list) == 2 && len(attempts(spans, later)) == 1 && connected(of(spans, list[0].Trace), "", "publish job.requested")
	})
	first, second := attempts(spans, retried)[0], attempts(spans, retried)[1]
	t.Logf("the first attempt:\n%s\nthe second:\n%s", collector.Trees(of(spans, first.Trace)), collector.Trees(of(spans, second.Trace)))
	asked := first.Trace + "-" + first.Parent
	if first.Parent == "" || first.Failed == "" || first.Attributes["payaid.job.outcome"] != "retried" || len(first.Links) != 0 {
		t.Errorf("the first attempt is %+v", first)
	}
	if second.Parent != "" || second.Trace == first.Trace || second.Failed != "" || !slices.Equal(second.Links, []string{asked}) {
		t.Errorf("the second attempt is %+v, want a root with a link to %s", second, asked)
	}
	put := attempts(spans, later)[0]
	if put.Parent != "" || len(put.Links) != 1 || strings.HasPrefix(put.Links[0], put.Trace) {
		t.Errorf("the job that was put off is %+v, want a root with a link", put)
	}
}

// TestATraceLeadsToTheMailServer and knows nothing of who wrote to whom.
func TestATraceLeadsToTheMailServer(t *testing.T) {
	t.Parallel()
	sink, err := localstack.StartSink(t.Context(), localstack.SinkOptions{Dir: t.TempDir()})
	must(t, "start the sink", err)
	t.Cleanup(func() { _ = sink.Stop(t.Context()) })
	host, port, err := net.SplitHostPort(sink.Addr())
	must(t, "find the sink", err)
	s, c := newTraced(t)
	_, admin := s.api("api")
	_, own := admin.organization(t, "Sender")
	s.relay("relay")
	s.worker("worker", "SMTP_HOST="+host, "SMTP_PORT="+port, "SMTP_FROM=noreply@example.com")
	own.answers(t, "/api/contacts?q=Lakshmi", http.StatusOK)
	id := own.submit(t, "mail.send", `{"to":["Lakshmi Venkataraman <lakshmi.v@customer.example>"],"subject":"Reminder of the wedding","text":"Call +91 98450 12345."}`).ID
	own.done(t, id, time.Minute)
	spans := c.Until(within(t, time.Minute), t, "the mail", func(spans []collector.Span) bool {
		list := attempts(spans, id)
		return len(list) == 1 && connected(of(spans, list[0].Trace), "", "publish job.completed")
	})
	work := attempts(spans, id)[0]
	trace := of(spans, work.Trace)
	t.Logf("the trace of the mail:\n%s", collector.Trees(trace))
	sent := descends(t, trace, named(trace, "POST /api/jobs")[0],
		"append job.requested", "publish job.requested", "route job.requested", "work mail.send", "smtp")
	if sent.Failed != "" || sent.Attributes["server.address"] != host || sent.Attributes["server.port"] != port ||
		sent.Attributes["payaid.mail.code"] != "250" || sent.Kind != "client" {
		t.Errorf("the transaction is %+v", sent)
	}
	silent(t, c)
}
