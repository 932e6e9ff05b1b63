package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/jobs"
)

// An errorRow is a fault at Ollama or Groq, and everything that must come of it for a job.
type errorRow struct {
	name   string
	set    func(*inference.Config)
	ollama []faults.Fault // of its first requests; further ones are answered
	groq   []faults.Fault
	input  string        // more fields of ai.completion
	limit  time.Duration // until the job's deadline, 0: none

	asked   string // who was asked, in order
	becomes string // succeeded, failed, or waiting
	by      string // of a success: who answered, and the reason for the fallback; of a failure: its code
	waits   string // what the reason for waiting says
	after   time.Duration
	calls   string // in ai_calls

	suspect string // whose breaker it is about
	class   string // of its last failure
	state   string // of that breaker afterwards
	opens   int    // how many such failures in a row open it, 0: none do
}

const (
	ollamaOnce = "ollama groq"
	shape      = `"schema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}`
)

// away has Ollama refuse connections, so that the row is about Groq.
func away(c *inference.Config) { c.OllamaURL = "http://127.0.0.1:1" }

// brisk gives Ollama 240 ms to its first token, and Groq a second.
func brisk(c *inference.Config) { c.FastBudget, c.Patience = time.Second, 100*time.Millisecond }

func busy(after string) faults.Fault {
	return faults.GroqStatus(429, "rate_limit_exceeded", "Rate limit reached", "Retry-After", after)
}

// cutAt is an answer of Groq that used up so many tokens.
func cutAt(tokens int) faults.Fault {
	return faults.Status(200, fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":\"Hot\"},\"finish_reason\":\"length\"}]}\n\n"+
		"data: {\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":%d}}}\n\ndata: [DONE]\n\n", tokens))
}

func repeated(n int, f faults.Fault) (list []faults.Fault) {
	for range n {
		list = append(list, f)
	}
	return list
}

func atOllama() []errorRow {
	tooLong := faults.OllamaStatus(400, "the input length exceeds the context length")
	runnerGone := faults.Status(200, `{"error":"an error was encountered while running the model: unexpected EOF"}`)
	fallsBack := func(name string, f faults.Fault, class string, opens int) errorRow {
		r := errorRow{name: name, ollama: []faults.Fault{f}, asked: ollamaOnce, becomes: "succeeded", by: "groq " + class,
			calls: "ollama:" + class + " groq:ok", suspect: inference.Ollama, class: class, state: "closed", opens: opens}
		if opens == 1 {
			r.state = "open"
		}
		return r
	}
	refused := fallsBack("connection refused", nil, "unavailable", 5)
	refused.set, refused.ollama, refused.asked = away, nil, "groq"
	slow := fallsBack("no answer in the attempt's time", faults.Hang, "timeout", 5)
	slow.set = brisk
	length := fallsBack("cut by the limit on tokens", faults.OllamaSays("Hot", "length"), "length", 0)
	length.class = "" // the model works
	return []errorRow{
		refused, slow, length,
		fallsBack("connection reset", faults.Reset, "unavailable", 5),
		fallsBack("no such model", faults.OllamaStatus(404, "model 'mistral:7b' not found"), "misconfigured", 0),
		fallsBack("stream without its end", faults.CutAfter(2), "truncated", 5),
		fallsBack("503", faults.OllamaStatus(503, "server busy, please try again.  maximum pending requests exceeded"), "overloaded", 10),
		fallsBack("503 without a body", faults.Status(503, ""), "overloaded", 10),
		fallsBack("429", faults.OllamaStatus(429, "too many"), "overloaded", 10),
		fallsBack("500", faults.Status(500, ""), "server", 5),
		fallsBack("502", faults.Status(502, "<html>"), "server", 5),
		fallsBack("runner gone", runnerGone, "server", 5),
		fallsBack("longer than the window", tooLong, "too_large", 0),
		fallsBack("413", faults.Status(413, ""), "too_large", 0),
		fallsBack("can't think", faults.OllamaStatus(400, `"mistral:7b" does not support thinking`), "unsupported", 0),
		fallsBack("401", faults.Status(401, `{"error":"unauthorized"}`), "auth", 1),
		fallsBack("403", faults.Status(403, ""), "auth", 1),
		{name: "the client's mistake", ollama: []faults.Fault{faults.OllamaStatus(400, "bad")}, asked: "ollama", becomes: "failed",
			by: "request", calls: "ollama:request", suspect: inference.Ollama, class: "request", state: "closed"},
		{name: "422", ollama: []faults.Fault{faults.Status(422, "")}, asked: "ollama", becomes: "failed",
			by: "request", calls: "ollama:request", suspect: inference.Ollama, class: "request", state: "closed"},
		{name: "a schema that is none", input: `"schema":{"type":"nonsense"}`, becomes: "failed", by: "request",
			suspect: inference.Ollama, state: "closed"},
		{name: "not the JSON that was asked for", input: shape, ollama: repeated(2, faults.OllamaSays("no", "stop")),
			groq: []faults.Fault{faults.GroqSays(`{"n":1}`, "stop")}, asked: "ollama ollama groq", becomes: "succeeded",
			by: "groq schema_invalid", calls: "ollama:schema_invalid ollama:schema_invalid groq:ok", suspect: inference.Ollama, state: "closed"},
		{name: "the right JSON when asked again", input: shape, ollama: []faults.Fault{faults.OllamaSays("no", "stop"),
			faults.OllamaSays(`{"n":1}`, "stop")}, asked: "ollama ollama", becomes: "succeeded", by: "ollama ",
			calls: "ollama:schema_invalid ollama:ok", suspect: inference.Ollama, state: "closed"},
		{name: "as long as the client wished", input: `"max_tokens":7`, ollama: []faults.Fault{faults.OllamaSays("Hot", "length")},
			asked: "ollama", becomes: "succeeded", by: "ollama ", calls: "ollama:length", suspect: inference.Ollama, state: "closed"},
	}
}

func atGroq() []errorRow {
	row := func(name, asked, becomes, by, outcomes string, f ...faults.Fault) errorRow {
		return errorRow{name: "groq: " + name, set: away, groq: f, asked: asked, becomes: becomes, by: by, suspect: inference.Groq,
			calls: "ollama:unavailable groq:" + strings.ReplaceAll(outcomes, " ", " groq:"), state: "closed"}
	}
	answered := func(name, class string, opens int, f faults.Fault) errorRow {
		r := row(name+", once", "groq groq", "succeeded", "groq unavailable", class+" ok", f)
		r.class, r.opens = class, opens
		return r
	}
	waiting := func(name, asked, class, outcomes string, opens int, after time.Duration, f ...faults.Fault) errorRow {
		r := row(name, asked, "waiting", "", outcomes, f...)
		r.waits, r.class, r.opens, r.after = "refuses connections and Groq ", class, opens, after
		return r
	}
	failed := func(name, asked, code, outcomes string, f ...faults.Fault) errorRow {
		r := row(name, asked, "failed", code, outcomes, f...)
		r.class = code
		return r
	}
	flex := answered("no capacity at the flexible tier", "overloaded", 0, faults.GroqStatus(498, "capacity_exceeded", ""))
	flex.set = func(c *inference.Config) { away(c); c.GroqServiceTier = "flex" }
	short := answered("429 within the budget", "overloaded", 0, busy("0.2"))
	short.state = "limited" // for the rest of the 0.2 s, or no longer
	long := waiting("429 beyond the budget", "groq", "overloaded", "overloaded", 0, 4*time.Second, busy("4"))
	long.set, long.state = func(c *inference.Config) { away(c); brisk(c) }, "limited"
	late := long
	late.name, late.groq, late.limit = "groq: 429 beyond the deadline", []faults.Fault{busy("3600")}, 3*time.Second
	late.becomes, late.by, late.waits = "failed", "deadline_exceeded", ""
	key := waiting("401", "groq", "auth", "auth", 1, 5*time.Second, faults.GroqStatus(401, "invalid_api_key", ""))
	key.state = "open"
	silent := waiting("no answer from anybody", "ollama groq ollama", "timeout", "timeout", 5, 5*time.Second, faults.Hang)
	silent.set, silent.ollama, silent.waits = brisk, repeated(2, faults.Hang), "gave no whole answer within 100ms and Groq sent no token"
	silent.calls = "ollama:timeout groq:timeout ollama:timeout"
	invalid := failed("not the JSON that was asked for", "groq groq", "schema_invalid", "schema_invalid schema_invalid",
		repeated(2, faults.GroqSays("no", "stop"))...)
	invalid.input, invalid.class = shape, ""
	length := failed("cut by the limit on tokens, twice", "groq groq", "length", "length length", repeated(2, cutAt(1024))...)
	window := failed("cut by its window", "groq", "length", "length", faults.GroqSays("Hot", "length"))
	length.class, window.class = "", ""
	return []errorRow{
		flex, short, long, late, key, silent, invalid, length, window,
		answered("500", "server", 5, faults.GroqStatus(500, "", "")),
		answered("stream without its end", "truncated", 5, faults.CutAfter(2)),
		answered("422", "request", 0, faults.GroqStatus(422, "", "semantic")),
		waiting("500 twice", "groq groq", "server", "server server", 5, 5*time.Second, repeated(2, faults.GroqStatus(502, "", ""))...),
		waiting("connection reset", "groq", "unavailable", "unavailable", 5, 5*time.Second, faults.Reset),
		waiting("no such model", "groq", "misconfigured", "misconfigured", 0, 5*time.Second, faults.GroqStatus(404, "model_not_found", "")),
		failed("longer than the window", "groq", "too_large", "too_large", faults.GroqStatus(413, "request_too_large", "")),
		failed("the client's mistake", "groq", "request", "request", faults.GroqStatus(400, "", "messages.0 is wrong")),
		failed("422 twice", "groq groq", "request", "request request", repeated(2, faults.GroqStatus(422, "", ""))...),
	}
}

// TestErrorTable goes through what can go wrong at the providers, and what jobs, records and breakers make of
// it. Each row has a chain and proxies of its own, before one worker.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	board := &switchboard{}
	s.deps.Model = board
	s.worker(map[string]int{"ai": 12})
	t.Run("rows", func(t *testing.T) {
		for _, row := range append(atOllama(), atGroq()...) {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				newBench(t, s, board, row).run()
			})
		}
	})
}

// TestWaitUsesUpNoAttempt has a job of one attempt wait for Groq's limit, and be answered after it.
func TestWaitUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	s := working(t, func(c *inference.Config, _ *jobs.Deps) { brisk(c); away(c) })
	s.groq.Next(busy("2"))
	id := s.submit("ai.completion", `{"prompt":"Score the lead.","cache":"no-store"}`, oneAttempt)
	if reason := s.waits(id); !strings.Contains(reason, "rate limited") {
		t.Errorf("it waits for %q", reason)
	}
	if a := s.answer(id); a.Provider != inference.Groq {
		t.Errorf("%s answered", a.Provider)
	}
	if j := s.job(id); j.Attempt != 1 {
		t.Errorf("it took attempt %d, want waiting to use up none", j.Attempt)
	}
	if got := strings.Join(s.calls(id), " "); got != "ollama:unavailable groq:overloaded ollama:unavailable groq:ok" {
		t.Errorf("calls %q", got)
	}
}

// TestCancelledJobStopsTheModel has the client cancel in the middle of an answer.
func TestCancelledJobStopsTheModel(t *testing.T) {
	t.Parallel()
	s := working(t)
	talking, stopped := make(chan struct{}), make(chan struct{})
	s.ollama.Next(endless(talking, stopped))
	id := s.submit("ai.completion", `{"prompt":"Score the lead.","cache":"no-store"}`)
	receive(t, "the model talks", talking)
	s.cancel(id)
	receive(t, "the model hears that nobody listens", stopped)
	if j := s.ends(id, "cancelled"); j.Attempt != 1 || len(j.Output) != 0 {
		t.Errorf("attempt %d, output %s", j.Attempt, j.Output)
	}
	s.eventually("the call is recorded", func() error { return same(strings.Join(s.calls(id), " "), "ollama:cancelled") })
	if n := len(s.groq.Requests()); n != 0 {
		t.Errorf("Groq was asked %d times for a job that nobody wants", n)
	}
	for _, st := range s.chain.Status() {
		if st.State != "closed" || st.LastClass != "" {
			t.Errorf("the breaker of %s %s is %s after %s, want it not to count", st.Provider, st.Model, st.State, st.LastClass)
		}
	}
}

// problemCode is the code of a failed job's problem.
func problemCode(raw json.RawMessage) string {
	var p struct{ Code string }
	_ = json.Unmarshal(raw, &p)
	return p.Code
}
