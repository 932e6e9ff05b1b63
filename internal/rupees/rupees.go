// Package rupees writes amounts of money as India does, and finds them in texts that others wrote. Amounts are
// in paise, as everywhere. It depends on the standard library alone.
package rupees

import (
	"fmt"
	"strconv"
)

// Format writes paise as India does: ₹1,75,000.50, and without paise where there are none.
func Format(paise int64) string {
	sign, amount := "", uint64(paise)
	if paise < 0 {
		sign, amount = "-", -amount
	}
	text, rest := strconv.FormatUint(amount/100, 10), ""
	if n := len(text) - 3; n > 0 {
		text, rest = text[:n], ","+text[n:]
		for len(text) > 2 {
			text, rest = text[:len(text)-2], ","+text[len(text)-2:]+rest
		}
	}
	if amount%100 != 0 {
		rest += fmt.Sprintf(".%02d", amount%100)
	}
	return sign + "₹" + text + rest
}
