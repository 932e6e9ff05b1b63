package gst

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Rate is a rate of tax in hundredths of a per cent: 18 % is 1800.
type Rate int32

const maxRate Rate = 100_00

// ParseRate reads a rate in per cent with at most two decimals: "18", "0.25". No sign, no exponent.
func ParseRate(text string) (Rate, error) {
	n, err := parseDecimal(text, 3, 2)
	if err != nil || Rate(n) > maxRate {
		return 0, errors.New(`must be a rate in per cent from 0 to 100 with at most two decimals, such as "18" or "0.25"`)
	}
	return Rate(n), nil
}

// String gives the rate in per cent, in the shortest form that ParseRate reads: "18", "0.25".
func (r Rate) String() string { return formatDecimal(int64(r), 2) }

// Rates are the rates that invoices may have.
type Rates []Rate

// DefaultRates are those that GSTN takes in returns (the list of rates in its offline tool for GSTR-1): the
// slabs 5, 12, 18 and 28, which the 56th meeting of the GST Council reduced to 5, 18 and 40 from 22 September
// 2025 (notification 9/2025-Central Tax (Rate)) with few goods left in the others; 3 for gold and 0.25 and 1.5
// for diamonds; 1, 6 and 7.5 for builders and bricks; 0.1 for merchant exporters. The old ones stay for
// documents of before. An operator who knows better sets other ones.
func DefaultRates() Rates {
	return Rates{0, 10, 25, 1_00, 1_50, 3_00, 5_00, 6_00, 7_50, 12_00, 18_00, 28_00, 40_00}
}

// ParseRates reads a list of rates with commas between them, "0,5,18", and gives them in order, each once.
func ParseRates(text string) (Rates, error) {
	var rates Rates
	for part := range strings.SplitSeq(text, ",") {
		rate, err := ParseRate(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		rates = append(rates, rate)
	}
	slices.Sort(rates)
	return slices.Compact(rates), nil
}

// Allows says whether an invoice may have the rate.
func (rs Rates) Allows(r Rate) bool { return slices.Contains(rs, r) }

// String lists them as ParseRates reads them.
func (rs Rates) String() string {
	texts := make([]string, len(rs))
	for i, r := range rs {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}
