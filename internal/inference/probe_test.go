package inference

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ollama/ollama/api"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
)

// hurried is a rig whose breakers are probed after 100 ms.
func hurried(t *testing.T, change func(*Config)) *rig {
	r := newRig(t, change)
	for _, b := range r.board.all() {
		b.delay = 100 * time.Millisecond
	}
	return r
}

// run runs the chain until the test ends, and fails it if it doesn't end.
func (r *rig) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("run did not return when its context ended")
		}
	})
}

// await waits until a model's state is want.
func (r *rig) await(t *testing.T, provider, model, want string) ProviderStatus {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		for _, s := range r.Status() {
			if s.Provider == provider && s.Model == model && s.State == want {
				return s
			}
		}
		select {
		case <-deadline:
			t.Fatalf("status %+v, want %s %s to be %s", r.Status(), provider, model, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestOpenBreakersAnswerAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Every(faults.Status(500, ""))
	r.groq.Every(faults.Reset)
	for range 5 {
		r.mustFail(t, score())
	}
	before := len(r.ollama.Requests()) + len(r.groq.Requests())
	begun := time.Now()
	e := r.mustFail(t, score())
	if !e.Wait() || e.Class != BreakerOpen || e.RetryAfter < 5*time.Second || e.RetryAfter > 12*time.Second {
		t.Errorf("%+v, want to wait for a probe in about 10s", e)
	}
	if want := " is left alone for a while after repeated failures (server) and "; !strings.Contains(e.Reason(), want) {
		t.Errorf("the reason %q lacks %q", e.Reason(), want)
	}
	if got := outcomes(e.Attempts); got != "ollama:breaker_open groq:breaker_open" {
		t.Errorf("attempts %q", got)
	}
	if after := len(r.ollama.Requests()) + len(r.groq.Requests()); after != before || time.Since(begun) > 4*time.Second {
		t.Errorf("%d calls in %v, want none and at once", after-before, time.Since(begun))
	}
	s := r.await(t, Ollama, "mistral:7b", stateOpen)
	if s.LastClass != Server || s.NextProbe.IsZero() || s.LastFailure.IsZero() {
		t.Errorf("status %+v", s)
	}
	r.await(t, Ollama, "llama2:13b", stateClosed)
}

// TestOutageIsToldOnce: of each outage the log has its beginning, with what becomes of who asks, and its end.
func TestOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	r := hurried(t, nil)
	r.ollama.Every(faults.Status(500, ""))
	for range 8 {
		r.mustAnswer(t, score(), Groq)
		r.heard.text.Reset()
	}
	const away = `level=WARN msg="model went away" provider=`
	if got, want := r.log.String(), away+`ollama model=mistral:7b class=server next="groq, for money"`; strings.Count(got, away) != 1 || !strings.Contains(got, want) {
		t.Errorf("the log has %s\nwant once %s", got, want)
	}
	r.groq.Every(faults.Reset)
	for range 8 {
		r.mustFail(t, score())
	}
	if got, want := r.log.String(), away+`groq model=openai/gpt-oss-20b class=unavailable next="jobs wait"`; strings.Count(got, away) != 2 || !strings.Contains(got, want) {
		t.Errorf("the log has %s\nwant once %s", got, want)
	}
	r.run(t)
	r.ollama.Every(nil)
	r.await(t, Ollama, "mistral:7b", stateHalfOpen)
	r.mustAnswer(t, score(), Ollama)
	r.ollama.Every(faults.Status(500, ""))
	for range 8 {
		r.mustFail(t, score())
	}
	if got := strings.Count(r.log.String(), away+"ollama"); got != 2 {
		t.Errorf("%d outages of Ollama in the log, want 2:\n%s", got, r.log)
	}
}

// TestOutageOfModelsThatClientsNameIsToldOnce: any client may name many.
func TestOutageOfModelsThatClientsNameIsToldOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	r.ollama.Every(faults.Reset)
	for i := range 15 {
		p := score()
		p.Model = fmt.Sprintf("named-%d", i%3)
		r.mustFail(t, p)
	}
	for range 5 {
		r.mustFail(t, score())
	}
	if got := r.log.String(); strings.Count(got, "model went away") != 2 || !strings.Contains(got, "model=mistral:7b class=unavailable") {
		t.Errorf("the log has %s\nwant an outage of one named model, and of the configured one", got)
	}
}

// TestOutageTellsWhatIsLeft goes through what there may be beside the model that is away.
func TestOutageTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		away   string
		change func(*Config)
		want   string
	}{
		{Ollama, func(*Config) {}, "groq, for money"},
		{Ollama, func(c *Config) { c.GroqKey = "" }, "jobs wait"},
		{Ollama, func(c *Config) { c.GroqKey, c.Rules = "", true }, "rules where there are some, other jobs wait"},
		{Groq, func(*Config) {}, "ollama"},
		{Groq, func(c *Config) { c.OllamaEnabled = false }, "jobs wait"},
	} {
		cfg := Config{OllamaEnabled: true, GroqKey: "gsk_secret"}
		tc.change(&cfg)
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		model := c.cfg.OllamaModels.Large
		if tc.away == Groq {
			model = c.cfg.GroqModels.Large
		}
		if got := c.instead(c.board.get(tc.away, model)); got != tc.want {
			t.Errorf("without %s of %+v: %q, want %q", tc.away, cfg, got, tc.want)
		}
	}
}

func TestProbeOfOllamaGeneratesAToken(t *testing.T) {
	t.Parallel()
	r := hurried(t, nil)
	r.ollama.Every(faults.Status(500, ""))
	for range 5 {
		r.mustAnswer(t, score(), Groq)
		r.heard.text.Reset()
	}
	failed := len(r.ollama.Requests())
	r.run(t)
	r.ollama.Next(faults.Status(500, ""), faults.Status(500, "")).Every(nil)
	s := r.await(t, Ollama, "mistral:7b", stateHalfOpen)
	if !s.NextProbe.IsZero() {
		t.Errorf("status %+v", s)
	}
	var probes int
	for _, s := range r.ollama.Requests()[failed:] {
		if options, ok := s.Body["options"].(map[string]any); ok && options["num_predict"] == float64(1) {
			probes++
		}
	}
	if probes == 0 {
		t.Error("no probe generated a token")
	}
	r.mustAnswer(t, score(), Ollama)
	r.await(t, Ollama, "mistral:7b", stateClosed)
}

func TestProbeOfGroqLooksForTheModel(t *testing.T) {
	t.Parallel()
	r := hurried(t, func(c *Config) { c.OllamaEnabled = false })
	r.groq.Every(faults.Reset)
	for range 5 {
		r.mustFail(t, score())
	}
	r.groq.Next(faults.Status(200, `{"data":[{"id":"another"}]}`)).Every(nil)
	r.run(t)
	r.await(t, Groq, "openai/gpt-oss-20b", stateHalfOpen)
	var lists int
	for _, s := range r.groq.Requests() {
		if s.Path == "/v1/models" {
			lists++
		}
	}
	if lists < 2 {
		t.Errorf("%d probes, want one that missed the model and one that found it", lists)
	}
	r.mustAnswer(t, score(), Groq)
	r.await(t, Groq, "openai/gpt-oss-20b", stateClosed)
}

// TestColdModelIsLoaded: Ollama gives up loading when the client leaves, so a
// model that was left while it was cold is loaded beside the requests.
func TestColdModelIsLoaded(t *testing.T) {
	t.Parallel()
	own := localstack.NewOllama(t)
	r := newRig(t, func(c *Config) {
		c.OllamaURL, c.FastBudget, c.LargeBudget = own.URL(), 10*time.Millisecond, 10*time.Millisecond
	})
	r.groq.Every(faults.GroqSays("Hot.", "stop"))
	p := score()
	p.Model = "large"
	if a := r.mustAnswer(t, p, Groq); a.FallbackReason != Timeout {
		t.Fatalf("fallback %q, want timeout", a.FallbackReason)
	}
	r.run(t)
	deadline := time.After(30 * time.Second)
	for len(loadedModels(t, r)) == 0 {
		select {
		case <-deadline:
			t.Fatal("the model was not loaded")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestStuckModelIsUnloaded has a model that is loaded, and gives no token until
// it was unloaded.
func TestStuckModelIsUnloaded(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	r.stuck = 300 * time.Millisecond
	r.groq.Every(faults.GroqSays("Hot.", "stop"))
	var healed atomic.Bool
	r.ollama.Only("/api/chat").Every(func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		var body struct {
			KeepAlive string `json:"keep_alive"`
			Messages  []any
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if body.KeepAlive == "0s" {
			healed.Store(true)
		}
		if len(body.Messages) > 0 && !healed.Load() {
			faults.Hang(w, req, pass)
		}
		pass(w, req)
	})
	if a := r.mustAnswer(t, score(), Groq); a.FallbackReason != Timeout {
		t.Fatalf("fallback %q, want timeout", a.FallbackReason)
	}
	r.run(t)
	for deadline := time.After(20 * time.Second); !healed.Load(); {
		select {
		case <-deadline:
			t.Fatal("the model was not unloaded")
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.heard.text.Reset()
	r.mustAnswer(t, Prompt{Messages: score().Messages, Mode: Relaxed}, Ollama)
}

func TestModelThatIsLeftAgainIsTendedAgain(t *testing.T) {
	t.Parallel()
	b := newBoard()
	b.tend("m")
	b.tend("m")
	if got := b.toTend(); len(got) != 1 || len(b.toTend()) != 0 {
		t.Errorf("%q to tend, want m once", got)
	}
	b.tend("m")
	b.tended("m")
	if got := b.toTend(); len(got) != 1 {
		t.Errorf("%q to tend after m was left meanwhile, want m", got)
	}
	b.tended("m")
	if got := b.toTend(); len(got) != 0 {
		t.Errorf("%q to tend, want nothing", got)
	}
}

func loadedModels(t *testing.T, r *rig) []api.ProcessModelResponse {
	t.Helper()
	list, err := r.Chain.ollama.client.ListRunning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list.Models
}

func TestRunEndsWhileAProbeHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Every(faults.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	for len(r.ollama.Requests()) == 0 {
		<-time.After(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaModels.Large = "not:pulled" })
	faults := r.Check(t.Context())
	if len(faults) != 1 {
		t.Fatalf("faults %v, want one", faults)
	}
	if want := "ask ollama for not:pulled: Ollama at " + r.ollama.URL + " has no model not:pulled (ollama pull not:pulled)"; faults[0].Error() != want {
		t.Errorf("%v, want %s", faults[0], want)
	}
}

// TestStatusKeepsNoModelThatThereIsNot: any client may make names up.
func TestStatusKeepsNoModelThatThereIsNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	before := len(r.Status())
	for i := range 30 {
		p := score()
		p.Model = fmt.Sprintf("made-up-%d", i)
		e := r.mustFail(t, p)
		if e.Class != Misconfigured || !e.Attempts[0].Named {
			t.Fatalf("%+v, want a model of the client's own that there isn't", e)
		}
	}
	if after := r.Status(); len(after) != before {
		t.Errorf("%d states after made-up models, want the %d before: %+v", len(after), before, after)
	}
	if a := r.mustAnswer(t, score(), Ollama); a.Attempts[0].Named {
		t.Error("the configured model counts as the client's own")
	}
}

func TestStatusOfWhatIsNotInUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.GroqKey = false, "" })
	got := r.Status()
	if len(got) != 2 || got[0].State != stateDisabled || got[1].State != stateUnset {
		t.Errorf("status %+v", got)
	}
}
