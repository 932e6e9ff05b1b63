package rupees_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/rupees"
)

func TestExact(t *testing.T) {
	t.Parallel()
	for paise, want := range map[int64]string{
		0: "₹0.00", 5: "₹0.05", 1_18_000_00: "₹1,18,000.00", 12_34_567_50: "₹12,34,567.50", -100: "-₹1.00",
	} {
		if got := rupees.Exact(paise); got != want {
			t.Errorf("Exact(%d) = %s, want %s", paise, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for paise, want := range map[int64]string{
		0: "Zero", 1: "Zero and One Paisa", 99: "Zero and Ninety-Nine Paise", 1_00: "One", 19_00: "Nineteen", 20_00: "Twenty",
		21_50: "Twenty-One and Fifty Paise", 100_00: "One Hundred", 101_00: "One Hundred One", 1_000_00: "One Thousand",
		1_00_000_00: "One Lakh", 1_18_000_00: "One Lakh Eighteen Thousand", 1_00_00_000_00: "One Crore",
		12_34_56_789_12: "Twelve Crore Thirty-Four Lakh Fifty-Six Thousand Seven Hundred Eighty-Nine and Twelve Paise",
		9007199254740991: "Ninety Lakh Seven Thousand One Hundred Ninety-Nine Crore Twenty-Five Lakh Forty-Seven Thousand " +
			"Four Hundred Nine and Ninety-One Paise",
	} {
		if got := rupees.Words(paise); got != "Rupees "+want+" Only" {
			t.Errorf("Words(%d) = %s, want %s", paise, got, want)
		}
	}
	if got := rupees.Words(math.MinInt64); !strings.HasPrefix(got, "Minus Rupees Nine Hundred Twenty-Two Crore Thirty-Three Lakh") {
		t.Error(got)
	}
}

// TestWordsAreTheNumber reads them again.
func TestWordsAreTheNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paise := rapid.Int64Range(0, 1<<53).Draw(t, "paise")
		words := strings.TrimSuffix(strings.TrimPrefix(rupees.Words(paise), "Rupees "), " Only")
		whole, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(words, " Paise"), " Paisa"), " and ")
		if got := 100*number(whole) + number(rest); got != paise {
			t.Fatalf("%s is %d, was %d", words, got, paise)
		}
	})
}

// number adds up what is said, each scale times what was said since a greater one.
func number(words string) int64 {
	ones := strings.Fields("Zero One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve Thirteen Fourteen Fifteen " +
		"Sixteen Seventeen Eighteen Nineteen")
	tens := strings.Fields("- - Twenty Thirty Forty Fifty Sixty Seventy Eighty Ninety")
	values := map[string]int64{}
	for i, w := range ones {
		values[w] = int64(i)
	}
	for i, w := range tens {
		values[w] = int64(10 * i)
	}
	var crores, lakhs, thousands, n int64
	for _, w := range strings.FieldsFunc(words, func(r rune) bool { return r == ' ' || r == '-' }) {
		switch w {
		case "Crore":
			crores, lakhs, thousands, n = crores+lakhs+thousands+n, 0, 0, 0
		case "Lakh":
			lakhs, n = n*1_00_000, 0
		case "Thousand":
			thousands, n = n*1_000, 0
		case "Hundred":
			n *= 100
		default:
			n += values[w]
		}
	}
	return crores*1_00_00_000 + lakhs + thousands + n
}
