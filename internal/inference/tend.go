package inference

import (
	"context"
	"time"
)

const (
	ollamaProbeTime = time.Minute
	groqProbeTime   = 10 * time.Second

	// stuckTime is longer than a loaded model needs for one token behind other
	// people's answers, most of the time.
	stuckTime = time.Minute
)

// probe finds out for a breaker whether its model can be asked again.
func (c *Chain) probe(ctx context.Context, b *breaker) {
	var f *failure
	if b.provider == Ollama {
		f = c.revive(ctx, b.model, ollamaProbeTime)
	} else {
		f = within(ctx, groqProbeTime, func(ctx context.Context) *failure { return c.groq.probe(ctx, b.model) })
	}
	b.endProbe(f)
	if f != nil && f.class == Misconfigured {
		c.board.absent(b.provider, b.model)
	}
	c.board.signal()
	if f == nil {
		c.cfg.Log.Info("model answers again", "provider", b.provider, "model", b.model)
	}
}

// wentAway tells the owner of an outage once, and what becomes of who asks meanwhile. Clients may name as many
// models as they like: of those it tells now and then.
func (c *Chain) wentAway(b *breaker, class string) {
	if !b.configured && c.told.again("away "+b.provider) {
		return
	}
	c.cfg.Log.Warn("model went away", "provider", b.provider, "model", b.model, "class", class, "next", c.instead(b))
}

// instead says who answers while a model is away.
func (c *Chain) instead(b *breaker) string {
	other, models, of, patience := Groq, c.cfg.GroqModels, c.cfg.OllamaModels, c.cfg.GroqTimeout
	there := c.groq != nil
	if b.provider == Groq {
		other, models, of, patience, there = Ollama, c.cfg.OllamaModels, c.cfg.GroqModels, c.cfg.Patience, c.ollama != nil
	}
	model := models.Fast
	if b.model == of.Large {
		model = models.Large
	}
	switch {
	case there && c.board.get(other, model).usable(patience) && other == Groq:
		return "groq, for money"
	case there && c.board.get(other, model).usable(patience):
		return other
	case c.cfg.Rules:
		return "rules where there are some, other jobs wait"
	}
	return "jobs wait"
}

// tend loads a model that was left while it was cold, and has one that was left
// in the middle of an answer show that it still answers.
func (c *Chain) tend(ctx context.Context, model string) {
	f := c.revive(ctx, model, c.stuck)
	c.board.tended(model)
	if f != nil && f.class != Cancelled {
		c.cfg.Log.Warn("model not ready", "provider", Ollama, "model", model, "class", f.class, "detail", f.detail)
	}
}

// revive loads a model, which may take minutes, and has it generate a token. One
// that is loaded and gives none is unloaded: when a client leaves in the middle
// of an answer, Ollama 0.17 may keep the model's only slot for it, and each call
// after that waits for ever, while the server looks well from outside. A model
// that is merely busy is unloaded when its work is done.
func (c *Chain) revive(ctx context.Context, model string, patience time.Duration) *failure {
	f := within(ctx, c.cfg.Patience, func(ctx context.Context) *failure { return c.ollama.load(ctx, model) })
	if f != nil {
		return f
	}
	f = within(ctx, patience, func(ctx context.Context) *failure { return c.ollama.probe(ctx, model) })
	if f == nil || f.class != Timeout {
		return f
	}
	c.cfg.Log.Warn("model unloaded because it gave no token", "provider", Ollama, "model", model, "ms", patience.Milliseconds())
	if out := within(ctx, patience, func(ctx context.Context) *failure { return c.ollama.unload(ctx, model) }); out != nil {
		return out
	}
	return f
}

// within bounds a call, and names the end of its time.
func within(ctx context.Context, limit time.Duration, do func(context.Context) *failure) *failure {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f := do(bounded)
	switch {
	case ctx.Err() != nil:
		return &failure{class: Cancelled, detail: "was told to stop"}
	case bounded.Err() != nil:
		return &failure{class: Timeout, detail: "gave no token within " + rounded(limit)}
	}
	return f
}
