package gst

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestLineTax(t *testing.T) {
	t.Parallel()
	rows := []struct {
		quantity Quantity
		price    int64
		rate     Rate
		supply   Supply
		want     Tax
	}{
		{1000, 100_00, 18_00, IntraState, Tax{100_00, 9_00, 9_00, 0, 118_00}},
		{1000, 100_00, 18_00, InterState, Tax{100_00, 0, 0, 18_00, 118_00}},
		{2500, 1, 0, InterState, Tax{3, 0, 0, 0, 3}},       // 2.5 paise are 3
		{2499, 1, 0, InterState, Tax{2, 0, 0, 0, 2}},       // 2.499 are 2
		{1000, 10, 5_00, IntraState, Tax{10, 0, 0, 0, 10}}, // 0.25 each are 0
		{1000, 10, 5_00, InterState, Tax{10, 0, 0, 1, 11}}, // 0.5 is 1
		{1000, 20, 5_00, IntraState, Tax{20, 1, 1, 0, 22}}, // 0.5 each are 1
		{1000, 400_00, 25, IntraState, Tax{400_00, 50, 50, 0, 401_00}},
		{1000, 0, 18_00, IntraState, Tax{}},
		{1000, MaxAmount, 0, IntraState, Tax{Amount: MaxAmount, Total: MaxAmount}},
	}
	for _, r := range rows {
		l := Line{r.quantity, r.price, r.rate}
		if got, err := l.Tax(r.supply); err != nil || got != r.want {
			t.Errorf("%+v.Tax(%d) = %+v, %v; want %+v", l, r.supply, got, err, r.want)
		}
	}
	for _, l := range []Line{{1001, MaxAmount, 0}, {1000, MaxAmount, 10}, {maxQuantity, 1<<63 - 1, 100_00}, {1000, 1<<63 - 1, 0}, {1500, 1<<63 - 1, 0}} {
		if got, err := l.Tax(IntraState); !errors.Is(err, ErrAmount) || got != (Tax{}) {
			t.Errorf("%+v.Tax = %+v, %v; want ErrAmount", l, got, err)
		}
	}
	for _, l := range []Line{{0, 1, 0}, {-1, 1, 0}, {maxQuantity + 1, 1, 0}, {1000, -1, 0}, {1000, 1, -1}, {1000, 1, 100_01}} {
		if got, err := l.Tax(IntraState); err == nil || got != (Tax{}) {
			t.Errorf("%+v.Tax = %+v; want an error", l, got)
		}
	}
}

func drawLine(t *rapid.T, label string) Line {
	return Line{
		Quantity:  Quantity(rapid.OneOf(rapid.Int64Range(1, 100_000), rapid.Int64Range(1, int64(maxQuantity))).Draw(t, label+" quantity")),
		UnitPrice: rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, 1<<40), rapid.Int64Range(0, 1<<63-1)).Draw(t, label+" price"),
		Rate:      Rate(rapid.Int32Range(0, int32(maxRate)).Draw(t, label+" rate")),
	}
}

// halfUp is floor(x + 1/2), worked out another way than mulDiv does it.
func halfUp(x *big.Rat) *big.Int {
	x = new(big.Rat).Add(x, big.NewRat(1, 2))
	return new(big.Int).Div(x.Num(), x.Denom())
}

// reference is the tax in fractions of any size.
func reference(l Line, s Supply) (parts [5]*big.Int) {
	amount := halfUp(new(big.Rat).Mul(big.NewRat(int64(l.Quantity), 1000), new(big.Rat).SetInt64(l.UnitPrice)))
	share := func(rate *big.Rat) *big.Int { return halfUp(new(big.Rat).Mul(new(big.Rat).SetInt(amount), rate)) }
	parts = [5]*big.Int{amount, new(big.Int), new(big.Int), new(big.Int), new(big.Int)}
	if rate := big.NewRat(int64(l.Rate), 100_00); s == InterState {
		parts[3] = share(rate)
	} else {
		parts[1] = share(rate.Quo(rate, big.NewRat(2, 1)))
		parts[2] = parts[1]
	}
	for _, p := range parts[:4] {
		parts[4].Add(parts[4], p)
	}
	return parts
}

// TestTaxProperties: the parts sum up, CGST is SGST, only one kind of tax is there, and all agree with
// fractions of any size, errors included.
func TestTaxProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLine(t, "line")
		supply := rapid.SampledFrom([]Supply{IntraState, InterState}).Draw(t, "supply")
		want := reference(l, supply)
		got, err := l.Tax(supply)
		if fits := want[4].Cmp(big.NewInt(MaxAmount)) <= 0; fits != (err == nil) {
			t.Fatalf("%+v.Tax: %v, for %v", l, err, want)
		}
		if err != nil {
			return
		}
		if got.Total != got.Amount+got.CGST+got.SGST+got.IGST || got.CGST != got.SGST || got.IGST != 0 && got.CGST != 0 {
			t.Errorf("%+v.Tax = %+v", l, got)
		}
		for i, part := range []int64{got.Amount, got.CGST, got.SGST, got.IGST, got.Total} {
			if want[i].Cmp(big.NewInt(part)) != 0 {
				t.Errorf("%+v.Tax = %+v; want %v", l, got, want)
			}
		}
	})
}

// TestTaxIsMonotonous: more of it, at a higher price or rate, never costs less.
func TestTaxIsMonotonous(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		less := drawLine(t, "line")
		more := less
		more.Quantity = min(maxQuantity, more.Quantity+Quantity(rapid.Int64Range(0, 5000).Draw(t, "more")))
		more.UnitPrice += min(1<<63-1-more.UnitPrice, rapid.Int64Range(0, 1000).Draw(t, "dearer"))
		more.Rate = min(maxRate, more.Rate+Rate(rapid.Int32Range(0, 500).Draw(t, "higher")))
		supply := rapid.SampledFrom([]Supply{IntraState, InterState}).Draw(t, "supply")
		small, err := less.Tax(supply)
		large, tooLarge := more.Tax(supply)
		if err != nil && tooLarge == nil {
			t.Fatalf("%+v is too much, %+v is not", less, more)
		}
		if tooLarge == nil && (large.Amount < small.Amount || large.CGST < small.CGST || large.IGST < small.IGST || large.Total < small.Total) {
			t.Errorf("%+v costs %+v, and %+v costs %+v", less, small, more, large)
		}
	})
}

func FuzzTax(f *testing.F) {
	f.Add(int64(1500), int64(200000), int32(1800), false)
	f.Add(int64(1), int64(1), int32(25), true)
	f.Add(int64(maxQuantity), MaxAmount, int32(100_00), true)
	f.Fuzz(func(t *testing.T, quantity, price int64, rate int32, across bool) {
		supply := IntraState
		if across {
			supply = InterState
		}
		l := Line{Quantity: Quantity(quantity), UnitPrice: price, Rate: Rate(rate)}
		tax, err := l.Tax(supply)
		if err != nil {
			if tax != (Tax{}) {
				t.Errorf("%+v: %v, and yet %+v", l, err, tax)
			}
			return
		}
		if tax.Total != tax.Amount+tax.CGST+tax.SGST+tax.IGST || tax.CGST != tax.SGST || tax.Total > MaxAmount ||
			tax.Amount < 0 || tax.CGST < 0 || tax.IGST < 0 || across && tax.CGST != 0 || !across && tax.IGST != 0 {
			t.Errorf("%+v: %+v", l, tax)
		}
	})
}
