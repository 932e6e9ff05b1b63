package rupees

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"unicode"
)

const (
	number = `([0-9][0-9,]*(?:\.[0-9]+)?)`
	many   = `lakhs?\b|lacs?\b|crores?\b|cr\b|लाख|करोड़|करोड`
	scale  = `(?:[ -]?(hundred\b|thousand\b|k\b|million\b|mn\b|सौ|हज़ार|हजार|` + many + `))?`
	gap    = `[ :*_\x{00a0}\x{202f}-]*`
)

// Who says lakh or crore in a business letter speaks of money.
var amounts = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(?:₹|\brs\.?|\binr|\brupees?|रुपये|रुपए|रु\.?)` + gap + number + scale),
	regexp.MustCompile(`(?i)` + number + scale + gap + `(?:₹|/-|rs\b|inr\b|rupees?\b|रुपये|रुपए|रु)`),
	regexp.MustCompile(`(?i)` + number + `[ -]?(` + many + `)`),
}

var scales = map[string]int64{
	"hundred": 100, "सौ": 100, "thousand": 1000, "k": 1000, "हज़ार": 1000, "हजार": 1000,
	"lakh": 1_00_000, "lac": 1_00_000, "लाख": 1_00_000, "million": 10_00_000, "mn": 10_00_000,
	"crore": 1_00_00_000, "cr": 1_00_00_000, "करोड़": 1_00_00_000, "करोड": 1_00_00_000,
}

// Find gives the amounts of money that a text names, in paise and in digits of any script: a number after ₹, Rs,
// INR or their like, or before them, times a word like lakh where there is one. One may come twice. An amount
// with a part of a paisa, or that no int64 holds, is [math.MinInt64]: nobody owes that. Amounts that stand in
// words alone are not found.
func Find(text string) []int64 {
	text = ASCIIDigits(text)
	var found []int64
	for _, a := range amounts {
		for _, m := range a.FindAllStringSubmatch(text, -1) {
			found = append(found, paise(m[1], strings.ToLower(m[2])))
		}
	}
	return found
}

func paise(number, scale string) int64 {
	amount, ok := new(big.Rat).SetString(strings.ReplaceAll(number, ",", ""))
	if !ok {
		return math.MinInt64
	}
	times := max(1, scales[scale], scales[strings.TrimSuffix(scale, "s")])
	amount.Mul(amount, new(big.Rat).SetInt64(100*times))
	if !amount.IsInt() || !amount.Num().IsInt64() {
		return math.MinInt64
	}
	return amount.Num().Int64()
}

// ASCIIDigits writes the digits of all scripts as 0 to 9. They come in runs of ten, each from zero on (The
// Unicode Standard, section 4.6).
func ASCIIDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 || !unicode.Is(unicode.Nd, r) {
			return r
		}
		var before rune
		for unicode.Is(unicode.Nd, r-before-1) {
			before++
		}
		return '0' + before%10
	}, text)
}
