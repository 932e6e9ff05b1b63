package inference

import (
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
)

// warmRig is a chain before a private Ollama that forgets models after a second, and is looked at every
// 100 ms.
func warmRig(t *testing.T, own *localstack.Ollama, warm ...Tier) *rig {
	t.Helper()
	r := newRig(t, nil)
	r.ollama = faults.New(t, own.URL())
	cfg := r.cfg
	cfg.OllamaURL, cfg.KeepAlive, cfg.Warm = r.ollama.URL, time.Second, append([]Tier{}, warm...)
	cfg.OllamaModels.Large = "tiny-slow" // llama2:13b is the same file as mistral:7b, and shares its runner
	chain, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	chain.warmEvery = 100 * time.Millisecond
	r.Chain = chain
	return r
}

// awaitLoaded waits until so many models are in Ollama's memory.
func (r *rig) awaitLoaded(t *testing.T, want int) {
	t.Helper()
	for deadline := time.After(40 * time.Second); ; {
		list, err := r.Chain.ollama.client.ListRunning(t.Context())
		if err == nil && len(list.Models) == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("loaded are %+v (%v), want %d", list, err, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// loads counts the requests that only load a model.
func loads(p *faults.Proxy) (n int) {
	for _, s := range p.Requests() {
		if messages, _ := s.Body["messages"].([]any); strings.HasSuffix(s.Path, "/api/chat") && len(messages) == 0 {
			n++
		}
	}
	return n
}

func TestModelIsForgottenAfterItsKeepAlive(t *testing.T) {
	t.Parallel()
	r := warmRig(t, localstack.NewOllama(t))
	r.run(t)
	r.mustAnswer(t, score(), Ollama)
	r.awaitLoaded(t, 1)
	r.awaitLoaded(t, 0)
}

func TestWarmModelIsThereAfterIdleAndAfterAKill(t *testing.T) {
	t.Parallel()
	own := localstack.NewOllama(t)
	r := warmRig(t, own, Fast)
	r.run(t)
	r.awaitLoaded(t, 1)
	for idle := time.After(2500 * time.Millisecond); idle != nil; {
		select {
		case <-idle:
			idle = nil
		case <-time.After(50 * time.Millisecond):
			if len(loadedModels(t, r)) != 1 {
				t.Fatal("the model went cold")
			}
		}
	}
	before := loads(r.ollama)
	own.Kill()
	if err := own.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.awaitLoaded(t, 1)
	if after := loads(r.ollama); after == before {
		t.Error("nobody loaded the model after the kill")
	}
	rep, f := r.Chain.ollama.chat(t.Context(), call{model: "mistral:7b", messages: score().Messages, maxTokens: 5}, func(string) {})
	if f != nil || rep.load > 200*time.Millisecond {
		t.Errorf("the first call loaded for %v (%+v), want a model that is there", rep.load, f)
	}
}

func TestBothTiersAreKeptWarm(t *testing.T) {
	t.Parallel()
	r := warmRig(t, localstack.NewOllama(t), Fast, Large)
	r.run(t)
	r.awaitLoaded(t, 2)
}

// TestWarmModelIsLoadedOnce has a second process find what the first has loaded.
func TestWarmModelIsLoadedOnce(t *testing.T) {
	t.Parallel()
	own := localstack.NewOllama(t)
	first, second := warmRig(t, own, Fast), warmRig(t, own, Fast)
	first.warmEvery, second.warmEvery = time.Second, 100*time.Millisecond
	first.run(t)
	first.awaitLoaded(t, 1)
	second.run(t)
	for len(second.ollama.Requests()) < 4 {
		<-time.After(10 * time.Millisecond)
	}
	if n := loads(second.ollama); n != 0 {
		t.Errorf("the second process loaded %d times, want it to see what is there", n)
	}
}

func TestWarmUpLeavesAnOpenBreakerAlone(t *testing.T) {
	t.Parallel()
	r := warmRig(t, localstack.NewOllama(t), Fast)
	r.board.get(Ollama, "mistral:7b").calls(5, Unavailable)
	r.run(t)
	for len(r.ollama.Requests()) < 3 {
		<-time.After(10 * time.Millisecond)
	}
	if n := loads(r.ollama); n != 0 {
		t.Errorf("a model behind an open breaker was loaded %d times", n)
	}
}

func TestDisabledOllamaIsNotWarmed(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	r.warmEvery = time.Millisecond
	r.run(t)
	<-time.After(100 * time.Millisecond)
	if n := len(r.ollama.Requests()); n != 0 {
		t.Errorf("a disabled Ollama was asked %d times", n)
	}
}

// TestModelThatIsPushedOut has two warm models share a memory for one.
func TestModelThatIsPushedOut(t *testing.T) {
	t.Parallel()
	r := warmRig(t, localstack.NewOllama(t, "OLLAMA_MAX_LOADED_MODELS=1"), Fast, Large)
	r.run(t)
	r.awaitLoaded(t, 1)
	<-time.After(3 * time.Second)
	// With a look every 100 ms each of 30 looks would load one; pauses double.
	if n := loads(r.ollama); n > 16 {
		t.Errorf("%d loads in 3 s, want fewer and fewer", n)
	}
}

// TestModelThatCannotBeLoaded has Ollama lack the memory for a warm model.
func TestModelThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	r := warmRig(t, localstack.NewOllama(t), Fast)
	r.ollama.Only("/api/chat").Every(faults.OllamaStatus(500, "model requires more system memory (9.1 GiB) than is available (3.0 GiB)"))
	r.run(t)
	<-time.After(3 * time.Second)
	// With a look every 100 ms each of 30 looks would try; pauses double.
	if n := loads(r.ollama); n < 2 || n > 8 {
		t.Errorf("%d tries to load in 3 s, want fewer and fewer", n)
	}
}

func TestKeepAliveIsByModel(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.KeepAlives = map[string]time.Duration{"LLAMA2:13b": -1, "tiny": time.Minute, "mistral:7b": time.Second}
	})
	r.warmEvery = 15 * time.Second
	for model, want := range map[string]time.Duration{"llama2:13b": -1, "tiny:latest": time.Minute, "other": 30 * time.Minute,
		"mistral:7b": 45 * time.Second} {
		if got := r.keepAlive(model); got != want {
			t.Errorf("%s is kept for %v, want %v", model, got, want)
		}
	}
	r.mustAnswer(t, Prompt{Messages: score().Messages, Model: "large"}, Ollama)
	if got := r.ollama.Requests()[0].Body["keep_alive"]; got != "-1" && got != float64(-1) {
		t.Errorf("keep_alive %v was sent, want for ever", got)
	}
}
