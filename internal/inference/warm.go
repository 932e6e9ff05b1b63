package inference

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
)

const (
	// warmEvery is how often Ollama is asked what it has in memory: an answer of a millisecond.
	warmEvery = 15 * time.Second
	// warmMost bounds the pause before a model is loaded again that others push out of memory each time.
	warmMost = 10 * time.Minute
	lookTime = 2 * time.Second
)

// warmth is one model that is kept in memory.
type warmth struct {
	model string
	pause time.Duration // after the next load, or the last that failed
	next  time.Time     // not loaded again before
}

// keepWarm loads the models that are to be warm and sees to it that they stay, until ctx ends: through idle
// hours, and after Ollama started again. What another process has loaded is not loaded twice.
func (c *Chain) keepWarm(ctx context.Context) {
	var list []*warmth
	for _, model := range c.warmModels() {
		list = append(list, &warmth{model: model})
	}
	if len(list) == 0 {
		return
	}
	for {
		c.warmUp(ctx, list)
		// Processes that started together don't look together.
		if !pauseFor(ctx, time.Duration((0.8+0.4*rand.Float64())*float64(c.warmEvery))) {
			return
		}
	}
}

// warmUp looks once. A host that doesn't answer is left to the breakers.
func (c *Chain) warmUp(ctx context.Context, list []*warmth) {
	looking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	running, err := c.ollama.client.ListRunning(looking)
	if err != nil {
		return
	}
	for _, w := range list {
		if c.board.get(Ollama, w.model).status().State == stateOpen {
			continue
		}
		c.warmOne(ctx, w, running.Models)
	}
}

func (c *Chain) warmOne(ctx context.Context, w *warmth, running []api.ProcessModelResponse) {
	now := time.Now()
	at := slices.IndexFunc(running, func(m api.ProcessModelResponse) bool { return sameModel(m.Name, w.model) })
	switch {
	case at < 0 && now.Before(w.next):
		return
	case at >= 0:
		if now.After(w.next.Add(w.pause)) {
			w.pause = 0
		}
		if running[at].ExpiresAt.Sub(now) > 2*c.warmEvery {
			return
		}
	}
	f := within(ctx, c.cfg.Patience, func(ctx context.Context) *failure { return c.ollama.load(ctx, w.model) })
	switch {
	case f == nil && at < 0:
		w.next = time.Now().Add(w.pause)
		w.longer(c.warmEvery)
		c.cfg.Log.Info("model loaded", "provider", Ollama, "model", w.model, "ms", time.Since(now).Milliseconds())
	case f == nil || f.class == Cancelled:
	default:
		c.notWarmed(w, f)
	}
}

// notWarmed leaves a model alone for longer each time that it can't be loaded: to try takes minutes of the
// host's work, and the memory of others. One that isn't there costs nothing to ask for, and may be pulled.
func (c *Chain) notWarmed(w *warmth, f *failure) {
	if f.class != Misconfigured {
		w.longer(c.warmEvery)
		w.next = time.Now().Add(w.pause)
	}
	if !c.told.again("warm " + w.model + " " + f.class) {
		c.cfg.Log.Warn("model not ready", "provider", Ollama, "model", w.model, "class", f.class, "detail", f.detail)
	}
}

func (w *warmth) longer(least time.Duration) { w.pause = min(max(2*w.pause, least), warmMost) }

// warmModels are the models of the tiers that are to be warm.
func (c *Chain) warmModels() []string {
	if c.ollama == nil {
		return nil
	}
	var models []string
	for _, tier := range c.cfg.Warm {
		model := c.cfg.OllamaModels.Fast
		if tier == Large {
			model = c.cfg.OllamaModels.Large
		}
		if !slices.Contains(models, model) {
			models = append(models, model)
		}
	}
	return models
}

// keepAlive is how long Ollama is told to keep a model after a call. One that is kept warm stays until the
// next look at the least.
func (c *Chain) keepAlive(model string) time.Duration {
	d := c.cfg.KeepAlive
	for name, own := range c.cfg.KeepAlives {
		if sameModel(name, model) {
			d = own
		}
	}
	if d >= 0 && slices.Contains(c.warmModels(), model) {
		d = max(d, 3*c.warmEvery)
	}
	return d
}

// sameModel compares names as Ollama does: the tag latest, its own registry and its library may be left out,
// and case doesn't matter.
func sameModel(a, b string) bool { return strings.EqualFold(shortName(a), shortName(b)) }

func shortName(name string) string {
	name = strings.TrimSuffix(name, ":latest")
	return strings.TrimPrefix(strings.TrimPrefix(name, "registry.ollama.ai/"), "library/")
}
