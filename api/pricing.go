package api

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/store"
)

// AIPricing is what answers of models are valued by. What was answered before keeps the prices of its day.
type AIPricing struct {
	RupeesPerDollar float64 // 0: not known
	Fallback        []FallbackModel
}

// A FallbackModel answers for money where the owner's models can't.
type FallbackModel struct {
	Tier          string // fast or large
	Model         string
	Input, Output *float64 // dollars for a million tokens; nil: no price is known, and it counts as free
}

// pricesView shows what savings are measured by.
type pricesView struct {
	USDINR  *float64    `json:"usd_inr" doc:"Rupees for a dollar, for answers from now on (AI_USD_INR); each answer keeps the rate of its day"`
	Models  []priceView `json:"models" doc:"Of the fallback provider, as it is configured now"`
	Caveats []string    `json:"caveats" doc:"What the figures leave out"`
}

type priceView struct {
	Tier   string   `json:"tier" enum:"fast,large"`
	Model  string   `json:"model"`
	Input  *float64 `json:"input_usd_per_million" doc:"Dollars for a million tokens; null: no price is known, and it counts as free"`
	Output *float64 `json:"output_usd_per_million"`
}

// caveats are what is said with every figure of savings.
var caveats = []string{
	"Tokens are counted by the model that answered; the fallback model would count them a little differently.",
	"The fallback's models also bill tokens for reasoning, which are not known where they were not asked: what was saved is a lower bound.",
	"What the owner's own machines and power cost is not counted.",
	"Copies from the cache count as saved, though a cache in front of the fallback would save them too.",
	"Calls whose end nobody saw, as their process died, count no money here; in a budget what was set aside for them counts as reserved for 15 to 20 minutes, and as spent afterwards.",
}

func (p AIPricing) view() pricesView {
	v := pricesView{Models: make([]priceView, len(p.Fallback)), Caveats: caveats}
	if p.RupeesPerDollar > 0 {
		v.USDINR = &p.RupeesPerDollar
	}
	for i, f := range p.Fallback {
		v.Models[i] = priceView(f)
	}
	return v
}

// paise rounds billionths of a rupee half up.
func paise(nano int64) int64 { return floorDiv(nano+store.NanoPerPaisa/2, store.NanoPerPaisa) }

func floorDiv(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

// nanos are billionths of a rupee or a dollar, that show as whole ones, to the last digit.
type nanos int64

// MarshalJSON implements json.Marshaler.
func (n nanos) MarshalJSON() ([]byte, error) { return decimalOf(int64(n), 9), nil }

// Schema implements huma.SchemaProvider.
func (nanos) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeNumber} }

// decimalOf writes n/10^places as a JSON number without loss.
func decimalOf(n int64, places int) []byte {
	digits := new(big.Int).Abs(big.NewInt(n)).String()
	if len(digits) <= places {
		digits = strings.Repeat("0", places+1-len(digits)) + digits
	}
	whole, rest := digits[:len(digits)-places], strings.TrimRight(digits[len(digits)-places:], "0")
	if rest != "" {
		whole += "." + rest
	}
	if n < 0 {
		whole = "-" + whole
	}
	return []byte(whole)
}

// ratio is nil where there is nothing to divide by.
func ratio(part, of int64) *float64 {
	if of == 0 {
		return nil
	}
	// Four digits are more than such figures mean.
	r, _ := strconv.ParseFloat(strconv.FormatFloat(float64(part)/float64(of), 'f', 4, 64), 64)
	return &r
}
