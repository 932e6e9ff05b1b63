package inference

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
)

// defaultPrices are Groq's for its default models, August to November 2026.
var defaultPrices = map[string]Price{
	"openai/gpt-oss-20b":  {In: 0.075, Out: 0.30},
	"openai/gpt-oss-120b": {In: 0.15, Out: 0.60},
}

// templateRoom is for what Groq puts around the messages: the preamble of its
// template is a hundred tokens or so.
const templateRoom = 512

// maxBilled bounds the tokens that a provider is believed to have counted.
const maxBilled = 1 << 30

// PriceOf is the price of a model of Groq as it is configured, or known here; false where there is none.
func (c Config) PriceOf(model string) (Price, bool) {
	price, known := c.withDefaults().Prices[model]
	return price, known
}

// nanoUSD is the price of a call in billionths of a dollar: a dollar for a
// million tokens is a thousand of them for one.
func (p Price) nanoUSD(prompt, completion int) int64 {
	prompt, completion = min(max(0, prompt), maxBilled), min(max(0, completion), maxBilled)
	return int64(math.Round((float64(prompt)*p.In + float64(completion)*p.Out) * 1000))
}

// guessTokens is about how many tokens a prompt has, rather too many: English has four bytes to one.
func guessTokens(messages []groqMessage) int {
	size := 0
	for _, m := range messages {
		size += len(m.Role) + len(m.Content)
	}
	return size/3 + 1
}

// atMost is what a call may cost at most. Models read bytes, so a token is one
// byte or more, and the body of the request holds every byte that they get to
// read: with the schema, and the signs of JSON as room for the marks between
// messages. Answer and thoughts together are bounded by the request.
func (p Price) atMost(sent groqRequest, body []byte) int64 {
	return p.nanoUSD(len(body)+templateRoom, sent.MaxTokens)
}

// cost is what a call did cost, most being what it may have cost at most. That
// is what counts where nobody says: a stream that broke off before its end was
// answered, and billed, further than was seen.
func (r reply) cost(p Price, most int64) int64 {
	switch {
	case r.metered:
		return p.nanoUSD(r.prompt, r.completion)
	case !r.sent, r.status != 0 && r.status != http.StatusOK:
		return 0 // it never came to Groq, or was refused there
	}
	return most
}

// A Refused is the error of terms that forbid Groq, and of a [Budget] that hasn't
// the money. Reason ends the sentence "Groq is not asked, for …".
type Refused struct{ Reason string }

// Error says the reason.
func (e *Refused) Error() string { return e.Reason }

// paying makes a call of Groq, on reserved money where there is a budget.
func (r *run) paying(ctx context.Context, t turn, c call, a *Attempt) (rep reply, f *failure) {
	price, priced := r.chain.cfg.Prices[c.model]
	sent, body, err := r.chain.groq.request(c)
	if err != nil {
		return reply{}, &failure{class: Request, detail: "can't be sent this prompt"}
	}
	most := price.atMost(sent, body)
	budget, err := r.terms(ctx)
	if err != nil {
		return reply{}, r.unpaid(ctx, c.model, err)
	}
	if budget != nil {
		if !priced {
			return reply{}, unpriced(c.model)
		}
		settle, err := budget.Reserve(ctx, most)
		if err != nil {
			return reply{}, r.unpaid(ctx, c.model, err)
		}
		a.CostNanoUSD = most // stands if the sink panics
		defer func() { settle(a.CostNanoUSD) }()
	}
	rep, f = r.call(ctx, t, c, a)
	a.CostNanoUSD = rep.cost(price, most)
	return rep, f
}

func (r *run) terms(ctx context.Context) (Budget, error) {
	if r.prompt.Terms == nil {
		return nil, nil
	}
	return r.prompt.Terms(ctx)
}

// broke says that there isn't the money for a call of Groq.
func (r *run) broke() bool {
	if r.prompt.Purse == nil {
		return false
	}
	price, priced := r.chain.cfg.Prices[r.remote]
	sent, body, err := r.chain.groq.request(r.asking(r.remote))
	return err == nil && (!priced || price.atMost(sent, body) > *r.prompt.Purse)
}

// unpaid is the failure of a call for which there was no money, or nobody to
// ask for it.
func (r *run) unpaid(ctx context.Context, model string, err error) *failure {
	if f := ended(ctx, Timeout, "was not asked in time"); f != nil {
		return f
	}
	var refused *Refused
	if errors.As(err, &refused) {
		return &failure{class: OutOfBudget, detail: "is not asked, for " + refused.Reason}
	}
	r.chain.cfg.Log.Warn("budget not checked", "provider", Groq, "model", model, "err", err)
	return &failure{class: Unchecked, detail: "is not asked, for the organization's budget can't be checked at the moment"}
}

// unpriced is the failure of a model that a budget can't be kept with.
func unpriced(model string) *failure {
	return &failure{class: Misconfigured, owners: true, detail: "is not asked, for its model " + model +
		" has no price, and without one the organization's budget can't be kept (GROQ_PRICES)"}
}

// Unpriced lists Groq's configured models that have no price: they count as
// free, and organizations with a budget can't use them.
func (c Config) Unpriced() []string {
	c = c.withDefaults()
	var list []string
	for _, model := range []string{c.GroqModels.Fast, c.GroqModels.Large} {
		if _, priced := c.Prices[model]; !priced && !slices.Contains(list, model) {
			list = append(list, model)
		}
	}
	return list
}
