package gst

import (
	"errors"
	"fmt"
	"strings"
)

var errDecimal = errors.New("not a decimal")

// parseDecimal reads digits with an optional fraction as an integer of the smallest unit: "1.5" with three
// decimals is 1500. Leading zeros and more digits than asked for are refused, so that one number has few forms.
func parseDecimal(text string, integers, decimals int) (int64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	switch {
	case whole == "" || len(whole) > integers || len(whole) > 1 && whole[0] == '0':
		return 0, errDecimal
	case len(fraction) > decimals || point && fraction == "":
		return 0, errDecimal
	}
	digits := whole + fraction + strings.Repeat("0", decimals-len(fraction))
	var n int64
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return 0, errDecimal
		}
		n = 10*n + int64(digits[i]-'0')
	}
	return n, nil
}

func formatDecimal(n int64, decimals int) string {
	unit := int64(1)
	for range decimals {
		unit *= 10
	}
	text := fmt.Sprintf("%d.%0*d", n/unit, decimals, n%unit)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
