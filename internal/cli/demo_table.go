package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

// demoPrices is what answers are worth: what the fallback takes for them.
type demoPrices struct {
	chain  inference.Config
	usdINR float64
}

// saved is what an answer has saved, in rupees, and the model whose price that is. Rules save nothing: nobody
// would have paid for them.
func (p demoPrices) saved(a demoAnswer) (model string, inr float64) {
	model, nanoUSD := p.chain.Worth(a.PromptTokens, a.CompletionTokens)
	if a.Provider == inference.Groq || a.Provider == "rules" {
		return model, 0
	}
	return model, float64(nanoUSD) / 1e9 * p.usdINR
}

func latency(millis int64) string {
	if millis == 0 {
		return "< 1ms"
	}
	return ms(time.Duration(millis) * time.Millisecond)
}

// printTable shows the answers, a line for each, and what they come to.
func (d *demoAI) printTable(w io.Writer) {
	const line = "  %-20s %-9s %-24s %10s  %-7s %11s %10s\n"
	fmt.Fprintf(w, line, "kind", "provider", "model", "latency", "cached", "tokens", "saved")
	var models, cached, rules int
	var against string
	var total float64
	kinds := make(map[string]bool)
	for _, r := range d.rows {
		model, inr := d.prices.saved(r.demoAnswer)
		against, total = model, total+inr
		kinds[r.kind] = true
		hit, tokens, saved := "no", fmt.Sprintf("%d + %d", r.PromptTokens, r.CompletionTokens), fmt.Sprintf("₹%.4f", inr)
		switch {
		case r.Cached:
			hit = "yes"
			cached++
		case r.Provider == "rules":
			tokens, saved = "", ""
			rules++
		default:
			models++
		}
		fmt.Fprintf(w, line, r.kind, r.Provider, r.Model, latency(r.LatencyMS), hit, tokens, saved)
	}
	fmt.Fprintf(w, "\n  %d kinds: %d answers by a model, %d from the cache, %d by rules; saved ₹%.4f against %s at %g ₹/$\n\n",
		len(kinds), models, cached, rules, total, against, d.prices.usdINR)
}
