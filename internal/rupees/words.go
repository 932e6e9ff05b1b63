package rupees

import (
	"fmt"
	"strings"
)

// Exact writes paise as Format does, and always with two decimals, as invoices have them: ₹1,75,000.00.
func Exact(paise int64) string {
	text := Format(paise)
	if paise%100 == 0 {
		text += ".00"
	}
	return text
}

var small = []string{"", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve",
	"Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen"}

var tens = []string{"", "", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"}

// Words says paise as India does, in lakhs and crores: Rupees One Lakh Eighteen Thousand and Fifty Paise Only.
// Crores of crores are counted anew, up to all that an int64 holds.
func Words(paise int64) string {
	sign, amount := "", uint64(paise)
	if paise < 0 {
		sign, amount = "Minus ", -amount
	}
	text := fmt.Sprintf("%sRupees %s", sign, count(amount/100))
	switch rest := amount % 100; rest {
	case 0:
	case 1:
		text += " and One Paisa"
	default:
		text += " and " + count(rest) + " Paise"
	}
	return text + " Only"
}

func count(n uint64) string {
	if n == 0 {
		return "Zero"
	}
	var words []string
	for _, scale := range []struct {
		size uint64
		name string
	}{{1_00_00_000, "Crore"}, {1_00_000, "Lakh"}, {1_000, "Thousand"}, {100, "Hundred"}} {
		if times := n / scale.size; times > 0 {
			words = append(words, count(times), scale.name)
			n %= scale.size
		}
	}
	switch {
	case n >= 20 && n%10 > 0:
		words = append(words, tens[n/10]+"-"+small[n%10])
	case n >= 20:
		words = append(words, tens[n/10])
	case n > 0:
		words = append(words, small[n])
	}
	return strings.Join(words, " ")
}
