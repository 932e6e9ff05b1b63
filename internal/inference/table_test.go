package inference

import (
	"net/http"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack/faults"
	"time"
)

// TestOllamaFailures goes through the table of the package's documentation:
// what falls back, and as what it is recorded.
func TestOllamaFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault faults.Fault
		class string
	}{
		{"reset before the first byte", faults.Reset, Unavailable},
		{"no such model", faults.OllamaStatus(404, "model 'mistral:7b' not found"), Misconfigured},
		{"redirect", faults.Status(307, "", "Location", "http://127.0.0.1:1/"), Misconfigured},
		{"cut after two lines", faults.CutAfter(2), Truncated},
		{"empty 200", faults.Status(200, ""), Truncated},
		{"empty 503", faults.Status(503, ""), Overloaded},
		{"busy", faults.OllamaStatus(503, "server busy, please try again.  maximum pending requests exceeded"), Overloaded},
		{"empty 500", faults.Status(500, ""), Server},
		{"runner gone", faults.OllamaStatus(500, "llama runner process has terminated"), Server},
		{"error in the stream", faults.Status(200, `{"error":"an error was encountered while running the model: unexpected EOF"}`), Server},
		{"bad gateway in HTML", faults.Status(502, "<html>"), Server},
		{"garbage", faults.Status(200, "<html>hello\n"), Server},
		{"longer than the window", faults.OllamaStatus(400, "the input length exceeds the context length"), TooLarge},
		{"grammar", faults.OllamaStatus(500, "invalid JSON schema in format"), Unsupported},
		{"thinking", faults.OllamaStatus(400, `"mistral:7b" does not support thinking`), Unsupported},
		{"unauthorized", faults.Status(401, `{"error":"unauthorized"}`), Auth},
		{"another reason", faults.OllamaSays("", "load"), Truncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.ollama.Next(tc.fault)
			a := r.mustAnswer(t, score(), Groq)
			if want := "ollama:" + tc.class + " groq:ok"; outcomes(a.Attempts) != want {
				t.Errorf("attempts %q, want %q", outcomes(a.Attempts), want)
			}
			if a.FallbackReason != tc.class {
				t.Errorf("fallback reason %q, want %q", a.FallbackReason, tc.class)
			}
		})
	}
}

func TestOllamaRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaURL = refused(t) })
	a := r.mustAnswer(t, score(), Groq)
	if a.FallbackReason != Unavailable || a.Attempts[0].Status != 0 {
		t.Errorf("fallback %q after %+v, want unavailable without a status", a.FallbackReason, a.Attempts[0])
	}
}

func TestClientsMistakeDoesNotFallBack(t *testing.T) {
	t.Parallel()
	for _, f := range []faults.Fault{faults.OllamaStatus(400, "bad"), faults.OllamaStatus(500, `option "temperature" must be of type float32`)} {
		r := newRig(t, nil)
		r.ollama.Next(f)
		e := r.mustFail(t, score())
		if e.Class != Request || !e.Permanent() || e.Wait() || len(e.Attempts) != 1 {
			t.Errorf("error %+v, want a permanent request error after one attempt", e)
		}
		if n := len(r.groq.Requests()); n != 0 {
			t.Errorf("Groq was asked %d times, want never", n)
		}
	}
}

// TestGroqFailures has Ollama refuse connections.
func TestGroqFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		faults   []faults.Fault
		outcomes string // of Groq
		class    string // "" is an answer
		wait     bool
	}{
		{"500 once", []faults.Fault{faults.GroqStatus(500, "", "")}, "server ok", "", false},
		{"500 twice", []faults.Fault{faults.GroqStatus(500, "", ""), faults.GroqStatus(502, "", "")}, "server server", Server, true},
		{"503 without a hint, once", []faults.Fault{faults.Status(503, "")}, "overloaded ok", "", false},
		{"cut once", []faults.Fault{faults.CutAfter(2)}, "truncated ok", "", false},
		{"cut twice", []faults.Fault{faults.CutAfter(2), faults.CutAfter(1)}, "truncated truncated", Truncated, true},
		{"finish reason without an end mark", []faults.Fault{
			faults.Status(200, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n")}, "truncated ok", "", false},
		{"end mark without a finish reason", []faults.Fault{
			faults.Status(200, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n")}, "truncated ok", "", false},
		{"error in the stream", []faults.Fault{faults.Status(200, "data: {\"error\":{\"message\":\"x\",\"code\":400}}\n\n")}, "server ok", "", false},
		{"garbage", []faults.Fault{faults.Status(200, "data: <html>\n\n")}, "server ok", "", false},
		{"422 once", []faults.Fault{faults.GroqStatus(422, "", "semantic")}, "request ok", "", false},
		{"422 twice", []faults.Fault{faults.GroqStatus(422, "", ""), faults.GroqStatus(422, "", "")}, "request request", Request, false},
		{"reset", []faults.Fault{faults.Reset}, "unavailable", Unavailable, true},
		{"429, short", []faults.Fault{faults.GroqStatus(429, "rate_limit_exceeded", "", "Retry-After", "0.1")}, "overloaded ok", "", false},
		{"429, long", []faults.Fault{faults.GroqStatus(429, "rate_limit_exceeded", "", "Retry-After", "30")}, "overloaded", Overloaded, true},
		{"401", []faults.Fault{faults.GroqStatus(401, "invalid_api_key", "")}, "auth", Auth, true},
		{"404", []faults.Fault{faults.GroqStatus(404, "model_not_found", "")}, "misconfigured", Misconfigured, true},
		{"413", []faults.Fault{faults.GroqStatus(413, "request_too_large", "")}, "too_large", TooLarge, false},
		{"400, window", []faults.Fault{faults.GroqStatus(400, "context_length_exceeded", "")}, "too_large", TooLarge, false},
		{"400", []faults.Fault{faults.GroqStatus(400, "", "messages.0 is wrong")}, "request", Request, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			away := refused(t)
			r := newRig(t, func(c *Config) { c.OllamaURL, c.FastBudget = away, 20*time.Second })
			r.groq.Next(tc.faults...)
			a, err := r.ask(t, score())
			attempts := a.Attempts
			if err != nil {
				e := err.(*Error)
				attempts = e.Attempts
				if e.Class != tc.class || e.Wait() != tc.wait || e.Permanent() == tc.wait {
					t.Errorf("error %v (wait %v), want %s (wait %v)", e, e.Wait(), tc.class, tc.wait)
				}
				if e.Wait() && (e.RetryAfter <= 0 || !strings.Contains(e.Reason(), "Ollama at "+away+" refuses connections and Groq ")) {
					t.Errorf("retry after %v because %q", e.RetryAfter, e.Reason())
				}
			} else if tc.class != "" {
				t.Errorf("an answer, want %s", tc.class)
			}
			want := "ollama:unavailable groq:" + strings.ReplaceAll(tc.outcomes, " ", " groq:")
			if got := outcomes(attempts); got != want {
				t.Errorf("attempts %q, want %q", got, want)
			}
		})
	}
}

func TestRateLimitIsHeeded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaURL, c.FastBudget = refused(t), 20*time.Second })
	r.groq.Next(faults.GroqStatus(429, "rate_limit_exceeded", "", "Retry-After", "30", "X-Ratelimit-Limit-Requests", "1000",
		"X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "2m59.56s",
		"X-Ratelimit-Limit-Tokens", "8000", "X-Ratelimit-Remaining-Tokens", "7000", "X-Ratelimit-Reset-Tokens", "7.66s"))
	if e := r.mustFail(t, score()); e.RetryAfter != 30*time.Second {
		t.Errorf("retry after %v, want 30s", e.RetryAfter)
	}
	e := r.mustFail(t, score())
	if e.RetryAfter <= 25*time.Second || e.RetryAfter > 30*time.Second {
		t.Errorf("retry after %v, want what is left of 30s", e.RetryAfter)
	}
	if n := len(r.groq.Requests()); n != 1 {
		t.Errorf("Groq was asked %d times, want once", n)
	}
	var found bool
	for _, s := range r.Status() {
		if s.Provider == Groq && s.State == stateLimited {
			found = true
			if s.Limit == nil || s.Limit.RequestsReset != 2*time.Minute+59560*time.Millisecond || s.Limit.TokensLeft != 7000 {
				t.Errorf("limit %+v, want what the headers said", s.Limit)
			}
		}
	}
	if !found {
		t.Errorf("status %+v, want a limited Groq", r.Status())
	}
}

func TestRateLimitIsHeededWithoutOllama(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	r.groq.Next(faults.GroqStatus(429, "rate_limit_exceeded", "", "Retry-After", "3600"))
	e := r.mustFail(t, score())
	if e.RetryAfter != time.Hour || !strings.HasPrefix(e.Reason(), "Ollama is disabled (OLLAMA_ENABLED) and Groq is rate limited") {
		t.Errorf("retry after %v because %q", e.RetryAfter, e.Reason())
	}
}

func TestFlexTierWithoutCapacity(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.GroqServiceTier = false, "flex" })
	r.groq.Next(faults.GroqStatus(498, "capacity_exceeded", ""))
	r.mustAnswer(t, score(), Groq)
	got := r.groq.Requests()
	if got[0].Body["service_tier"] != "flex" || got[1].Body["service_tier"] != "on_demand" {
		t.Errorf("tiers %v then %v, want flex then on_demand", got[0].Body["service_tier"], got[1].Body["service_tier"])
	}
}

// TestServerWithoutReasoning goes to Ollama's OpenAI-compatible server without
// the proxy's help: it refuses reasoning_effort for a model that can't think.
func TestServerWithoutReasoning(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.GroqBaseURL = false, ollamaURL(t)+"/v1" })
	a := r.mustAnswer(t, score(), Groq)
	if got := outcomes(a.Attempts); got != "groq:unsupported groq:ok" {
		t.Errorf("attempts %q, want one more without the option", got)
	}
	r.heard.text.Reset()
	if a := r.mustAnswer(t, score(), Groq); len(a.Attempts) != 1 {
		t.Errorf("attempts %q, want the refusal to be remembered", outcomes(a.Attempts))
	}
}

func TestNobodyIsConfigured(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.GroqKey = false, "" })
	e := r.mustFail(t, score())
	if want := "Ollama is disabled (OLLAMA_ENABLED) and no GROQ_API_KEY_FALLBACK is set"; !e.Wait() || e.Reason() != want {
		t.Errorf("%+v, want to wait because %q", e, want)
	}
}

func TestOllamaAloneWaits(t *testing.T) {
	t.Parallel()
	away := refused(t)
	r := newRig(t, func(c *Config) { c.OllamaURL, c.GroqKey = away, "" })
	e := r.mustFail(t, score())
	want := "Ollama at " + away + " refuses connections and no GROQ_API_KEY_FALLBACK is set"
	if !e.Wait() || e.Reason() != want || e.RetryAfter <= 0 || len(e.Attempts) != 1 {
		t.Errorf("%+v, want to wait because %q", e, want)
	}
}

func TestMissingModels(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	p := score()
	p.Model = "nobody/knows:this"
	if e := r.mustFail(t, p); !e.Permanent() || e.Class != Misconfigured {
		t.Errorf("%+v, want a model that the client made up to fail for good", e)
	}
	r = newRig(t, func(c *Config) { c.GroqKey, c.OllamaModels.Fast = "", "not:pulled" })
	e := r.mustFail(t, score())
	if !e.Wait() || !strings.Contains(e.Reason(), "ollama pull not:pulled") {
		t.Errorf("%+v, want to wait until the owner pulls the model", e)
	}
	if !strings.Contains(r.log.String(), "provider needs the owner") {
		t.Errorf("log %q, want a word to the owner", r.log)
	}
}

func TestOllamaAloneIsAskedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	r.ollama.Next(faults.CutAfter(1))
	a := r.mustAnswer(t, score(), Ollama)
	if outcomes(a.Attempts) != "ollama:truncated ollama:ok" || a.FallbackReason != "" {
		t.Errorf("attempts %q, fallback %q", outcomes(a.Attempts), a.FallbackReason)
	}
}

// TestKeyStaysAtGroq has Ollama, and a redirecting Groq, show what they are sent.
func TestKeyStaysAtGroq(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	other := faults.New(t, ollamaURL(t))
	r.ollama.Next(faults.Status(500, ""))
	r.groq.Next(faults.Status(http.StatusTemporaryRedirect, "", "Location", other.URL+"/v1/chat/completions"))
	r.mustFail(t, score())
	if len(other.Requests()) != 0 {
		t.Error("a redirect was followed")
	}
	for _, s := range r.ollama.Requests() {
		if s.Header.Get("Authorization") != "" {
			t.Error("Ollama was sent the key")
		}
	}
	if got := r.groq.Requests()[0].Header.Get("Authorization"); got != "Bearer gsk_secret" {
		t.Errorf("authorization %q", got)
	}
}
