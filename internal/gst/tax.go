package gst

import (
	"errors"
	"math/bits"
)

// MaxAmount is the largest amount in paise: what JSON readers that count in floats still hold exactly (2^53-1).
const MaxAmount int64 = 1<<53 - 1

// ErrAmount is an amount above MaxAmount.
var ErrAmount = errors.New("the amount is above 9007199254740991 paise")

// A Line is what one line of an invoice sells. UnitPrice is in paise, without tax.
type Line struct {
	Quantity  Quantity
	UnitPrice int64
	Rate      Rate
}

// A Tax is what a line costs, in paise. Total = Amount + CGST + SGST + IGST, always; CGST = SGST; and either
// those two or IGST are 0.
type Tax struct{ Amount, CGST, SGST, IGST, Total int64 }

// Tax works out a line. The taxable amount is quantity times price, rounded half up to the paisa. Within a
// state CGST and SGST are each half of the rate of it, rounded half up on their own and so always equal, as
// two tax authorities get the same; across a border IGST is the whole rate of it, rounded half up. All is
// done in integers; ErrAmount is for sums above MaxAmount, another error for lines that can't be.
//
// Tax is rounded per line and invoices add lines up: section 170 of the CGST Act rounds to the rupee what is
// paid to the government, not what an invoice says.
func (l Line) Tax(s Supply) (Tax, error) {
	switch {
	case l.Quantity <= 0 || l.Quantity > maxQuantity:
		return Tax{}, errors.New("the quantity is not above 0 and below 100000000000")
	case l.UnitPrice < 0:
		return Tax{}, errors.New("the price is below 0")
	case l.Rate < 0 || l.Rate > maxRate:
		return Tax{}, errors.New("the rate is not from 0 to 100 per cent")
	}
	var t Tax
	var ok bool
	if t.Amount, ok = mulDiv(int64(l.Quantity), l.UnitPrice, 1000); !ok {
		return Tax{}, ErrAmount
	}
	if s == InterState {
		t.IGST, ok = mulDiv(t.Amount, int64(l.Rate), 100_00)
	} else {
		t.CGST, ok = mulDiv(t.Amount, int64(l.Rate), 2*100_00)
		t.SGST = t.CGST
	}
	if t.Total = t.Amount + t.CGST + t.SGST + t.IGST; !ok || t.Total > MaxAmount {
		return Tax{}, ErrAmount
	}
	return t, nil
}

// mulDiv is a times b divided by d, rounded half up, if that is at most MaxAmount. None is below 0, d is even.
func mulDiv(a, b, d int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(d/2), 0)
	if hi += carry; hi >= uint64(d) {
		return 0, false
	}
	quotient, _ := bits.Div64(hi, lo, uint64(d))
	return int64(quotient), quotient <= uint64(MaxAmount)
}
