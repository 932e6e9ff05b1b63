package rupees_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/rupees"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for paise, want := range map[int64]string{
		0: "₹0", 5: "₹0.05", 99_900: "₹999", 1_000_00: "₹1,000", 99_999_99: "₹99,999.99", 1_00_000_00: "₹1,00,000",
		12_34_567_50: "₹12,34,567.50", 1_23_45_678_00: "₹1,23,45,678", 100_00_00_000_00: "₹1,00,00,00,000",
		-5: "-₹0.05", math.MinInt64: "-₹92,23,37,20,36,85,47,758.08",
	} {
		if got := rupees.Format(paise); got != want {
			t.Errorf("Format(%d) = %s, want %s", paise, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int64{
		"":                                   nil,
		"Invoice 2026-27/0042 of 3 May 2026": nil,
		"within 24 hours 5 users wait":       nil,
		"Please pay ₹1,75,000.50.":           {1_75_000_50},
		"Rs. 500/- only":                     {500_00},
		"rs500, Rs 500 or RS.500":            {500_00},
		"INR: 1180":                          {1180_00},
		"a total of **₹ 1,180**":             {1180_00},
		"we owe 1180 rupees":                 {1180_00},
		"Rs 1.5 lakh":                        {1_50_000_00},
		"about 2 Crores":                     {2_00_00_000_00},
		"₹5k keep":                           {5_000_00},
		"₹5 keep":                            {5_00},
		"₹५,००० जमा करें":        {5_000_00},
		"५ लाख रुपये":            {5_00_000_00},
		"৳ is none, ₹৫০০ is one": {500_00},
		"₹0.005":                 {math.MinInt64},
		"₹99999999999999999999":  {math.MinInt64},
		"₹10 and ₹20":            {10_00, 20_00},
	} {
		got := rupees.Find(text)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("Find(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestFindReadsWhatFormatWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paise := rapid.Int64Range(0, math.MaxInt64).Draw(t, "paise")
		if got := rupees.Find("Pay " + rupees.Format(paise) + " today."); !slices.Equal(got, []int64{paise}) {
			t.Fatalf("%s is read as %d, was %d", rupees.Format(paise), got, paise)
		}
	})
}
