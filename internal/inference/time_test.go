package inference

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
)

// brief sets a budget of a second: Ollama has 600 ms of it, and 240 ms to its
// first token.
func brief(c *Config) { c.FastBudget = time.Second }

func TestSilentOllamaIsLeftEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	r.ollama.Next(faults.Hang)
	r.groq.Every(faults.GroqSays("Hot.", "stop"))
	a := r.mustAnswer(t, score(), Groq)
	if ran := a.Attempts[0].Run; a.FallbackReason != Timeout || ran < 230*time.Millisecond {
		t.Errorf("left for %s after %v, want after about 240ms", a.FallbackReason, ran)
	}
	if want := "sent no token within 240ms"; a.Attempts[0].Detail != want {
		t.Errorf("detail %q, want %q", a.Attempts[0].Detail, want)
	}
}

func TestSlowOllamaIsLeftAtTheEndOfItsShare(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	r.ollama.Next(func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		_, _ = io.WriteString(w, `{"message":{"content":"Once"}}`+"\n")
		w.(http.Flusher).Flush()
		faults.Hang(w, req, pass)
	})
	r.groq.Every(faults.GroqSays("Hot.", "stop"))
	a := r.mustAnswer(t, score(), Groq)
	if ran := a.Attempts[0].Run; a.FallbackReason != Timeout || ran < 590*time.Millisecond || a.Attempts[0].FirstToken == 0 {
		t.Errorf("left for %s after %v, want after 600ms", a.FallbackReason, ran)
	}
	if r.heard.events[1] != "reset groq timeout" {
		t.Errorf("heard %q, want the text to be withdrawn", r.heard.events)
	}
}

func TestBothAreSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.FastBudget, c.Patience = 3*time.Second, 100*time.Millisecond })
	r.ollama.Every(faults.Hang)
	r.groq.Every(faults.Hang)
	begun := time.Now()
	e := r.mustFail(t, score())
	if took := time.Since(begun); !e.Wait() || took < 3*time.Second || took > 30*time.Second {
		t.Errorf("%v after %v, want to wait after the budget of 3s and Ollama's patience", e, took)
	}
	if got := outcomes(e.Attempts); got != "ollama:timeout groq:timeout ollama:timeout" {
		t.Errorf("attempts %q", got)
	}
}

// TestGroqMayFinish has Groq begin its answer in time and end it after the
// budget.
func TestGroqMayFinish(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.FastBudget = false, 5*time.Second })
	r.groq.Next(func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		for _, part := range []string{`{"delta":{"content":"Late"}}`, `{"delta":{"content":"."},"finish_reason":"stop"}`} {
			_, _ = io.WriteString(w, `data: {"choices":[`+part+"]}\n\n")
			w.(http.Flusher).Flush()
			<-time.After(5500 * time.Millisecond)
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
	if a := r.mustAnswer(t, score(), Groq); a.Text != "Late." || len(a.Attempts) != 1 {
		t.Errorf("answer %+v", a)
	}
}

// TestSlowOllamaAlone has nothing but a model that needs longer than the
// budget: its answer comes late rather than never.
func TestSlowOllamaAlone(t *testing.T) {
	t.Parallel()
	slow := localstack.NewOllama(t)
	alone := map[string]func(*Config, *Prompt){
		"no key":       func(c *Config, _ *Prompt) { c.GroqKey = "" },
		"local only":   func(_ *Config, p *Prompt) { p.LocalOnly = true },
		"rate limited": func(*Config, *Prompt) {},
	}
	for name, change := range alone {
		t.Run(name, func(t *testing.T) {
			p := Prompt{Messages: score().Messages, MaxTokens: 60}
			r := newRig(t, func(c *Config) {
				c.OllamaURL, c.OllamaModels.Fast, c.FastBudget = slow.URL(), "tiny-slow", 100*time.Millisecond
				change(c, &p)
			})
			if name == "rate limited" {
				r.board.get(Groq, "openai/gpt-oss-20b").limited = time.Now().Add(time.Minute)
			}
			a := r.mustAnswer(t, p, Ollama)
			if len(a.Attempts) != 1 || a.Latency < 100*time.Millisecond {
				t.Errorf("attempts %q after %v, want one that outlasts the budget", outcomes(a.Attempts), a.Latency)
			}
		})
	}
}

func TestSlowOllamaIsAskedAgainWhenGroqIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	r.ollama.Next(faults.Hang)
	r.groq.Every(faults.Reset)
	a := r.mustAnswer(t, score(), Ollama)
	if got := outcomes(a.Attempts); got != "ollama:timeout groq:unavailable ollama:ok" || a.FallbackReason != "" {
		t.Errorf("attempts %q, fallback %q", got, a.FallbackReason)
	}
}

func TestRelaxedWaitsForOllama(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	r.ollama.Next(func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		<-time.After(1200 * time.Millisecond) // longer than the budget
		pass(w, req)
	}, faults.Status(500, ""))
	p := score()
	p.Mode = Relaxed
	if a := r.mustAnswer(t, p, Ollama); len(a.Attempts) != 1 {
		t.Errorf("attempts %q", outcomes(a.Attempts))
	}
	r.heard.text.Reset()
	if a := r.mustAnswer(t, p, Groq); a.FallbackReason != Server {
		t.Errorf("fallback %q, want server", a.FallbackReason)
	}
}

// door is a gate with one place.
type door chan struct{}

func (d door) Acquire(ctx context.Context) (func(), error) {
	select {
	case d <- struct{}{}:
		return func() { <-d }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d door) Load(context.Context) (ahead, slots int, err error) { return len(d), cap(d), nil }

func TestGateThatIsFull(t *testing.T) {
	t.Parallel()
	gate := make(door, 1)
	r := newRig(t, func(c *Config) { c.FastBudget, c.Gate = time.Second, gate })
	r.groq.Every(faults.GroqSays("Hot.", "stop"))
	release, _ := gate.Acquire(t.Context())
	a := r.mustAnswer(t, score(), Groq)
	if a.FallbackReason != QueueFull || a.Attempts[0].Queue < 200*time.Millisecond || len(r.ollama.Requests()) != 0 {
		t.Errorf("attempts %+v, want to leave a full gate", a.Attempts)
	}
	if s := r.board.get(Ollama, "mistral:7b").status(); s.State != stateClosed {
		t.Errorf("state %s, want a full gate not to count", s.State)
	}
	release()
	r.heard.text.Reset()
	r.mustAnswer(t, Prompt{Messages: score().Messages, Mode: Relaxed}, Ollama)
	if len(gate) != 0 {
		t.Error("the place at the gate was kept")
	}
}

func TestGateIsWaitedForWhenThereIsNobodyElse(t *testing.T) {
	t.Parallel()
	gate := make(door, 1)
	r := newRig(t, func(c *Config) { c.FastBudget, c.Gate, c.GroqKey = 100*time.Millisecond, gate, "" })
	release, _ := gate.Acquire(t.Context())
	time.AfterFunc(300*time.Millisecond, release)
	if a := r.mustAnswer(t, score(), Ollama); a.Attempts[0].Queue < 200*time.Millisecond {
		t.Errorf("attempts %+v, want one that queued", a.Attempts)
	}
}

type brokenGate struct{}

func (brokenGate) Acquire(context.Context) (func(), error) { return nil, errors.New("redis is away") }

func (brokenGate) Load(context.Context) (ahead, slots int, err error) {
	return 0, 0, errors.New("redis is away")
}

func TestGateThatIsBroken(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Gate = brokenGate{} })
	if a := r.mustAnswer(t, score(), Groq); a.FallbackReason != QueueFull || !strings.Contains(r.log.String(), "redis is away") {
		t.Errorf("fallback %q, log %q", a.FallbackReason, r.log)
	}
}

// TestWithoutMoneyOllamaIsNotHurried has Ollama take longer than its share where Groq can't be paid: to be left, and
// asked again for the same, would cost the host twice the work.
func TestWithoutMoneyOllamaIsNotHurried(t *testing.T) {
	t.Parallel()
	r := newRig(t, brief)
	slow := func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		select {
		case <-req.Context().Done():
		case <-time.After(800 * time.Millisecond):
			pass(w, req)
		}
	}
	for nano, want := range map[int64]string{0: "ollama:ok", 1000: "ollama:ok", 1e12: "ollama:timeout groq:ok"} {
		r.ollama.Next(slow)
		p := score()
		p.Purse, p.Terms = &nano, pays(&purse{has: nano})
		a, err := r.ask(t, p)
		if got := outcomes(a.Attempts); err != nil || got != want {
			t.Errorf("with %d: %q (%v), want %q", nano, got, err, want)
		}
	}
}
