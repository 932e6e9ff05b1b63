package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// demoUsage is what the organization is told of its use of models, by kind, and of the prices that savings are
// measured by.
type demoUsage struct {
	Data []struct {
		Group     string `json:"group"`
		Answers   int64  `json:"answers"`
		Rules     int64  `json:"rules"`
		Cached    int64  `json:"cached"`
		SavedNano int64  `json:"saved_nano_inr"`
	} `json:"data"`
	Prices struct {
		USDINR float64      `json:"usd_inr"`
		Models []demoPrices `json:"models"`
	} `json:"prices"`
}

// demoPrices are dollars for a million tokens.
type demoPrices struct {
	Tier   string  `json:"tier"`
	Model  string  `json:"model"`
	Input  float64 `json:"input_usd_per_million"`
	Output float64 `json:"output_usd_per_million"`
}

func (d *demoAI) usage(ctx context.Context) (u demoUsage, err error) {
	err = d.api.do(ctx, http.MethodGet, "/api/ai/usage?group_by=kind", nil, &u)
	if err == nil && len(u.Prices.Models) == 0 {
		err = errors.New("the usage of AI names no prices")
	}
	return u, err
}

// saved is what an answer has saved, in rupees. Rules save nothing: nobody would have paid for them.
func (u demoUsage) saved(a demoAnswer) float64 {
	if a.Provider == "groq" || a.Provider == "rules" {
		return 0
	}
	p := u.Prices.Models[0]
	return (float64(a.PromptTokens)*p.Input + float64(a.CompletionTokens)*p.Output) / 1e6 * u.Prices.USDINR
}

// conclude shows all answers and what they come to, and reports whether that could be had.
func (d *demoAI) conclude(ctx context.Context, w io.Writer) bool {
	if len(d.rows) == 0 {
		return true
	}
	d.printTable(w)
	sum, err := d.sum(ctx)
	if err != nil {
		sum = "FAILED: " + err.Error()
	}
	fmt.Fprintf(w, "\n  %s\n\n", sum)
	return err == nil
}

// printTable shows the answers, a line for each.
func (d *demoAI) printTable(w io.Writer) {
	const line = "  %-20s %-9s %-24s %10s  %-7s %11s %10s\n"
	fmt.Fprintf(w, line, "kind", "provider", "model", "latency", "cached", "tokens", "saved")
	for _, r := range d.rows {
		hit, tokens, saved := "no", fmt.Sprintf("%d + %d", r.PromptTokens, r.CompletionTokens), fmt.Sprintf("₹%.4f", d.before.saved(r.demoAnswer))
		if r.Cached {
			hit = "yes"
		}
		if r.Provider == "rules" {
			tokens, saved = "", ""
		}
		fmt.Fprintf(w, line, r.kind, r.Provider, r.Model, latency(r.LatencyMS), hit, tokens, saved)
	}
}

func latency(millis int64) string {
	if millis == 0 {
		return "< 1ms"
	}
	return ms(time.Duration(millis) * time.Millisecond)
}

// demoSum is what answers come to.
type demoSum struct{ answers, rules, cached, savedNano int64 }

// of adds up the kinds that the table has.
func (d *demoAI) of(u demoUsage) (s demoSum) {
	for _, g := range u.Data {
		if slices.ContainsFunc(d.rows, func(r demoAnswered) bool { return r.kind == g.Group }) {
			s = demoSum{s.answers + g.Answers, s.rules + g.Rules, s.cached + g.Cached, s.savedNano + g.SavedNano}
		}
	}
	return s
}

// sum is what the answers come to, by the figures that the organization is shown.
func (d *demoAI) sum(ctx context.Context) (string, error) {
	after, err := d.usage(ctx)
	if err != nil {
		return "", err
	}
	kinds, models := make(map[string]bool), make(map[string]bool)
	for _, r := range d.rows {
		kinds[r.kind] = true
		if !r.Cached && r.Provider != "rules" {
			models[r.Provider] = true
		}
	}
	was, is := d.of(d.before), d.of(after)
	rules, cached := is.rules-was.rules, is.cached-was.cached
	parts := []string{fmt.Sprintf("%d kinds", len(kinds))}
	for _, by := range []struct {
		answers int64
		words   string
	}{
		{is.answers - was.answers - rules - cached, "by " + strings.Join(sortedNames(models), " and ")},
		{cached, "from the cache"},
		{rules, "by rules"},
	} {
		if by.answers > 0 {
			parts = append(parts, fmt.Sprintf("%d answers %s", by.answers, by.words))
		}
	}
	return fmt.Sprintf("%s, saved ₹%.4f against %s at %g ₹/$", strings.Join(parts, ", "), float64(is.savedNano-was.savedNano)/1e9,
		after.Prices.Models[0].Model, after.Prices.USDINR), nil
}
