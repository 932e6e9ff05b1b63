package inference

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
)

func TestOllamaAnswersFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := score()
	warmth := 0.5
	p.Temperature = &warmth
	a := r.mustAnswer(t, p, Ollama)
	if a.Text == "" || a.Model != "mistral:7b" || a.FallbackReason != "" || a.JSON != nil {
		t.Errorf("answer %+v", a)
	}
	got := a.Attempts[0]
	if len(a.Attempts) != 1 || got.Outcome != OK || got.Status != 200 || got.FirstToken <= 0 || got.Run < got.FirstToken ||
		got.PromptTokens == 0 || got.CompletionTokens == 0 || got.PromptTokens != a.PromptTokens {
		t.Errorf("attempts %+v", a.Attempts)
	}
	if want := int64(75*a.PromptTokens + 300*a.CompletionTokens); got.CostNanoUSD != 0 || got.ShadowNanoUSD != want {
		t.Errorf("cost %d, shadow %d; want 0, %d", got.CostNanoUSD, got.ShadowNanoUSD, want)
	}
	if len(r.groq.Requests()) != 0 {
		t.Error("Groq was asked")
	}
	body := r.ollama.Requests()[0].Body
	if body["truncate"] != false || body["shift"] != false || body["keep_alive"] != "30m0s" {
		t.Errorf("request %v, want no truncation, no shift, and to be kept", body)
	}
	if options := body["options"].(map[string]any); options["num_predict"] != float64(DefaultMaxTokens) || options["temperature"] != 0.5 {
		t.Errorf("options %v", options)
	}
}

func TestRollbackIsGroqAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	a := r.mustAnswer(t, score(), Groq)
	if a.FallbackReason != "" || a.Model != "openai/gpt-oss-20b" || len(r.ollama.Requests()) != 0 {
		t.Errorf("fallback %q of %s after %d calls of Ollama", a.FallbackReason, a.Model, len(r.ollama.Requests()))
	}
	got := a.Attempts[0]
	if want := int64(75*a.PromptTokens + 300*a.CompletionTokens); got.CostNanoUSD != want || got.ShadowNanoUSD != want || want == 0 {
		t.Errorf("cost %d, shadow %d; want %d", got.CostNanoUSD, got.ShadowNanoUSD, want)
	}
	body := r.groq.Requests()[0].Body
	if body["reasoning_effort"] != "low" || body["max_completion_tokens"] != float64(DefaultMaxTokens+reasoningRoom) {
		t.Errorf("request %v", body)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ model, local, remote string }{
		{"", "mistral:7b", "openai/gpt-oss-20b"},
		{"fast", "mistral:7b", "openai/gpt-oss-20b"},
		{"large", "llama2:13b", "openai/gpt-oss-120b"},
		{"llama2:13b", "llama2:13b", "openai/gpt-oss-120b"},
		{"tiny", "tiny", "openai/gpt-oss-20b"},
		{"openai/gpt-oss-120b", "openai/gpt-oss-120b", "openai/gpt-oss-120b"},
	} {
		r := newRig(t, nil)
		r.ollama.Next(faults.Status(500, ""))
		p := score()
		p.Model = tc.model
		a := r.mustAnswer(t, p, Groq)
		if a.Attempts[0].Model != tc.local || a.Model != tc.remote {
			t.Errorf("%q: asked %s, then %s; want %s, %s", tc.model, a.Attempts[0].Model, a.Model, tc.local, tc.remote)
		}
	}
}

func TestTextIsWithdrawnWhenTheProviderChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Next(faults.CutAfter(3))
	r.mustAnswer(t, score(), Groq)
	want := "provider ollama , reset groq truncated, provider groq truncated"
	if got := strings.Join(r.heard.events, ", "); got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

func TestTextIsWithdrawnWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Next(faults.CutAfter(3))
	r.groq.Next(faults.Reset)
	if e := r.mustFail(t, score()); !e.Wait() || r.heard.text.Len() != 0 {
		t.Errorf("error %v, the sink holds %q", e, r.heard.text.String())
	}
}

func TestInvalidPrompts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	hot := 3.0
	for _, p := range []Prompt{
		{},
		{Messages: []Message{{"robot", "x"}}},
		{Messages: score().Messages, Model: "no spaces"},
		{Messages: score().Messages, Mode: "eager"},
		{Messages: score().Messages, MaxTokens: -1},
		{Messages: score().Messages, Temperature: &hot},
	} {
		if e := r.mustFail(t, p); !e.Permanent() || e.Class != Request || e.Detail == "" {
			t.Errorf("%+v: %+v, want a permanent request error", p, e)
		}
	}
	if len(r.ollama.Requests())+len(r.groq.Requests()) != 0 {
		t.Error("an invalid prompt was sent")
	}
}

func TestLocalOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := score()
	p.LocalOnly = true
	r.ollama.Only("/api/chat")
	r.ollama.Next(faults.Status(503, ""))
	e := r.mustFail(t, p)
	if !e.Wait() || !strings.Contains(e.Reason(), "the organization allows models in the house only") {
		t.Errorf("%+v, want to wait for Ollama", e)
	}
	r.mustAnswer(t, p, Ollama)
	if len(r.groq.Requests()) != 0 {
		t.Error("Groq was asked")
	}
}

func TestLocalOnlyRefusesTheCloudOfOllama(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Only("/api/show")
	r.ollama.Next(faults.Status(200, `{"remote_host":"https://ollama.com","remote_model":"gpt-oss:120b"}`))
	p := score()
	p.LocalOnly = true
	e := r.mustFail(t, p)
	for _, s := range append(r.ollama.Requests(), r.groq.Requests()...) {
		if s.Path != "/api/show" {
			t.Errorf("the prompt went to %s", s.Path)
		}
	}
	if !e.Permanent() {
		t.Errorf("%+v, want to fail for good", e)
	}
}

// TestCancellationStopsOllama has the slow model begin an answer of a minute.
// The server makes one answer at a time, so that a second one comes soon only
// if the first was stopped. Run is there for the case that Ollama stops, but
// forgets to free the slot.
func TestCancellationStopsOllama(t *testing.T) {
	t.Parallel()
	own := localstack.NewOllama(t)
	r := newRig(t, func(c *Config) { c.OllamaURL, c.OllamaModels.Fast = own.URL(), "tiny-slow" })
	r.stuck = 2 * time.Second
	r.run(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.heard.onText = cancel
	p := Prompt{Messages: score().Messages, Mode: Relaxed, MaxTokens: 3500}
	_, err := r.Answer(ctx, p, r.heard)
	begun := time.Now()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || e.Wait() || e.Permanent() {
		t.Fatalf("error %v, want the end of the context", err)
	}
	if outcomes(e.Attempts) != "ollama:cancelled" || e.Attempts[0].CompletionTokens == 0 {
		t.Errorf("attempts %+v, want one that was cancelled in the middle", e.Attempts)
	}
	r.heard.onText = nil
	p.MaxTokens = 2
	r.heard.text.Reset()
	a := r.mustAnswer(t, p, Ollama)
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("the next answer came after %v, %+v: the first one, %+v, was not stopped", took, a.Attempts, e.Attempts)
	}
	if len(r.groq.Requests()) != 0 {
		t.Error("Groq was asked for a cancelled prompt")
	}
}

func TestCancellationBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.ollama.Next(func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		cancel()
		faults.Hang(w, req, pass)
	})
	if _, err := r.Answer(ctx, score(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if len(r.groq.Requests()) != 0 {
		t.Error("Groq was asked for a cancelled prompt")
	}
}

func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Every(faults.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.Answer(ctx, score(), nil)
	var e *Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Class != Timeout || e.Wait() {
		t.Errorf("error %v, want the caller's deadline", err)
	}
}

// TestSecondOllamaInThePlaceOfGroq kills the first server in the middle of an
// answer, and then both.
func TestSecondOllamaInThePlaceOfGroq(t *testing.T) {
	t.Parallel()
	first, second := localstack.NewOllama(t), localstack.NewOllama(t)
	between := faults.New(t, second.URL())
	r := newRig(t, func(c *Config) {
		c.OllamaURL, c.OllamaModels.Fast = first.URL(), "tiny-slow"
		c.GroqBaseURL = between.URL + "/v1"
	})
	p := Prompt{Messages: score().Messages, Mode: Relaxed, MaxTokens: 3000}
	killed := false
	r.heard.onText = func() {
		if !killed {
			killed = true
			first.Kill()
		}
	}
	a := r.mustAnswer(t, p, Groq)
	if a.Attempts[0].Outcome != Truncated || r.heard.events[1] != "reset groq truncated" {
		t.Errorf("attempts %q, heard %q", outcomes(a.Attempts), r.heard.events)
	}
	for _, o := range []*localstack.Ollama{first, second} {
		if err := o.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e := r.mustFail(t, p); !e.Wait() || outcomes(e.Attempts[:1]) != "ollama:unavailable" {
		t.Errorf("%+v, want to wait with both away", e)
	}
}

func TestLongPromptIsNeverCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	p := Prompt{Messages: []Message{{"user", strings.Repeat("the customer wants the invoice ", 4000)}}}
	if e := r.mustFail(t, p); e.Class != TooLarge || !e.Permanent() {
		t.Errorf("%+v, want too_large", e)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{OllamaURL: "ftp://x"}, {GroqBaseURL: "http://"}, {GroqKey: "gsk_se\ncret"}} {
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("New(%+v): %v, want an error without the key", cfg, err)
		}
	}
}

// TestNothingLeaks has both providers quote the prompt and the key in their
// refusals.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	secrets := []string{"hunter2", "gsk_secret", "sesame"}
	quote := "you said hunter2 with gsk_secret, rate_limit_exceeded sesame"
	p := Prompt{Messages: []Message{{"user", "my word is hunter2"}}}
	for _, pair := range [][2]faults.Fault{
		{faults.OllamaStatus(500, quote), faults.GroqStatus(400, quote, quote)},
		{faults.Status(200, quote), faults.GroqStatus(500, quote, quote)},
		{faults.Status(418, quote), nil},
		{faults.OllamaStatus(404, quote), faults.GroqStatus(401, quote, quote)},
		{faults.Status(503, quote), faults.GroqStatus(429, quote, quote, "Retry-After", "60")},
		{faults.Status(200, `{"error":"`+quote+`"}`), faults.Status(200, "data: {\"error\":{\"message\":\""+quote+"\"}}\n\n")},
	} {
		r := newRig(t, nil)
		r.ollama.Every(pair[0])
		r.groq.Every(pair[1])
		e := r.mustFail(t, p)
		public := e.Error() + e.Detail + r.log.String()
		for _, a := range e.Attempts {
			public += a.Detail
		}
		for _, secret := range secrets {
			if strings.Contains(public, secret) {
				t.Errorf("%q tells %q", public, secret)
			}
		}
	}
}

type purse struct {
	has, reserved, settled int64 // of the last call
	open                   int
}

func (p *purse) Reserve(_ context.Context, nano int64) (func(int64), error) {
	if nano > p.has {
		return nil, &Refused{Reason: "the purse is empty"}
	}
	p.reserved = nano
	p.open++
	return func(cost int64) { p.settled = cost; p.open-- }, nil
}

// pays are terms that give a budget.
func pays(b Budget) func(context.Context) (Budget, error) {
	return func(context.Context) (Budget, error) { return b, nil }
}

func TestBudgetIsAskedBeforeGroq(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaURL = refused(t) })
	p, money := score(), &purse{has: 1e9}
	p.Terms = pays(money)
	a := r.mustAnswer(t, p, Groq)
	if money.settled != a.Attempts[1].CostNanoUSD || money.settled == 0 || money.reserved < money.settled {
		t.Errorf("reserved %d, settled %d of a call for %d", money.reserved, money.settled, a.Attempts[1].CostNanoUSD)
	}
	asked := len(r.groq.Requests())
	p.Terms = pays(&purse{})
	e := r.mustFail(t, p)
	if !e.Wait() || outcomes(e.Attempts) != "ollama:unavailable groq:out_of_budget" || len(r.groq.Requests()) != asked ||
		!strings.HasSuffix(e.Reason(), "Groq is not asked, for the purse is empty") {
		t.Errorf("%+v, want to wait without asking Groq", e)
	}
}

// TestPanicOfTheSink must not keep the trial of a half-open breaker, nor the
// place at the gate, nor the money.
func TestPanicOfTheSink(t *testing.T) {
	t.Parallel()
	gate := make(door, 1)
	r := newRig(t, func(c *Config) { c.Gate = gate })
	b := r.board.get(Ollama, "mistral:7b")
	b.calls(5, Unavailable)
	b.startProbeNow()
	b.endProbe(nil)
	r.heard.onText = func() { panic("sink") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = r.ask(t, score())
	}()
	r.heard.onText = nil
	r.heard.text.Reset()
	r.mustAnswer(t, score(), Ollama)
}
