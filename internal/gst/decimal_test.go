package gst

import (
	"math/big"
	"slices"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{"18": 1800, "0.25": 25, "0": 0, "7.5": 750, "7.50": 750, "100": 10000, "28.0": 2800} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "18.", ".5", "-1", "+5", "1e1", "18 ", "018", "0.125", "100.01", "101", "1000", "18%", "१८", "0x12"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %d; want an error", text, got)
		}
	}
	for _, r := range DefaultRates() {
		if again, err := ParseRate(r.String()); again != r || err != nil {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", r.String(), again, err, r)
		}
	}
}

func TestParseRates(t *testing.T) {
	t.Parallel()
	got, err := ParseRates("18, 5,0 ,0.25,18")
	if want := (Rates{0, 25, 500, 1800}); err != nil || !slices.Equal(got, want) {
		t.Errorf("rates are %v, %v; want %v", got, err, want)
	}
	if got.String() != "0,0.25,5,18" {
		t.Errorf("listed as %q", got.String())
	}
	if !got.Allows(500) || got.Allows(2800) || Rates(nil).Allows(0) {
		t.Error("Allows says something else than the list")
	}
	for _, text := range []string{"", ",", "5,", "5;18", "5,101", "five"} {
		if got, err := ParseRates(text); err == nil {
			t.Errorf("ParseRates(%q) = %v; want an error", text, got)
		}
	}
	if d := DefaultRates(); !slices.IsSorted(d) || len(slices.Compact(d)) != 13 || !d.Allows(4000) {
		t.Errorf("the default rates are %v", d)
	}
}

func TestParseQuantity(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Quantity{"1": 1000, "2.5": 2500, "0.001": 1, "1.500": 1500, "99999999999.999": maxQuantity} {
		if got, err := ParseQuantity(text); err != nil || got != want {
			t.Errorf("ParseQuantity(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0.000", "-1", "1.0001", "1.5000", "100000000000", "1,5", "1e3", "NaN", "Infinity", " 1", "01", "1_000"} {
		if got, err := ParseQuantity(text); err == nil {
			t.Errorf("ParseQuantity(%q) = %d; want an error", text, got)
		}
	}
}

func FuzzQuantity(f *testing.F) {
	for _, text := range []string{"1", "2.5", "0.001", "99999999999.999", "0", "-1", "1e3", "", "1.", ".5", "٣"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParseQuantity(text)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok || exact.Cmp(big.NewRat(int64(q), 1000)) != 0 || q <= 0 || q > maxQuantity {
			t.Errorf("ParseQuantity(%q) = %d", text, q)
		}
		if again, err := ParseQuantity(q.String()); again != q || err != nil || len(q.String()) > len(text) {
			t.Errorf("%q is written %q, which is %d, %v", text, q, again, err)
		}
	})
}

func TestFinancialYear(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"2026-04-01": 2026, "2026-03-31": 2025, "2027-01-01": 2026, "2026-12-31": 2026, "2000-02-29": 1999} {
		date, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := FinancialYear(date); got != want {
			t.Errorf("FinancialYear(%s) = %d, want %d", text, got, want)
		}
	}
	// Read in its own zone: midnight in India is still March in UTC.
	india := time.FixedZone("IST", 5*3600+1800)
	if got := FinancialYear(time.Date(2026, time.April, 1, 0, 0, 0, 0, india)); got != 2026 {
		t.Errorf("1 April in India is in %d", got)
	}
}

func TestInvoiceNumber(t *testing.T) {
	t.Parallel()
	rows := []struct {
		year, sequence int
		want           string
	}{
		{2026, 1, "INV/26-27/00001"}, {2026, 42, "INV/26-27/00042"}, {2026, 123456, "INV/26-27/123456"},
		{1999, 7, "INV/99-00/00007"}, {2026, 999_999, "INV/26-27/999999"}, {2026, 1_000_000, "26-27/1000000"},
		{2026, 1<<31 - 1, "26-27/2147483647"},
	}
	for _, r := range rows {
		if got := InvoiceNumber(r.year, r.sequence); got != r.want || len(got) > 16 {
			t.Errorf("InvoiceNumber(%d, %d) = %q, want %q", r.year, r.sequence, got, r.want)
		}
	}
}
