package gst

import "errors"

// A Quantity is how much of something an invoice line sells, in thousandths: 1.5 hours are 1500. It is more
// than nothing and below 100,000,000,000, as the column of the database has it (numeric(14, 3)).
type Quantity int64

const maxQuantity Quantity = 99_999_999_999_999

// ParseQuantity reads a decimal with at most three decimals: "1", "2.5", "0.125". No sign, no exponent.
func ParseQuantity(text string) (Quantity, error) {
	n, err := parseDecimal(text, 11, 3)
	switch {
	case err != nil:
		return 0, errors.New(`must be a decimal number of at most eleven digits and three decimals, such as "1" or "2.5"`)
	case n == 0:
		return 0, errors.New("must be more than 0")
	}
	return Quantity(n), nil
}

// String gives the shortest form that ParseQuantity reads: "2.5".
func (q Quantity) String() string { return formatDecimal(int64(q), 3) }
