package cli

import "testing"

func TestRupees(t *testing.T) {
	t.Parallel()
	for paise, want := range map[int64]string{
		0: "₹0", 5: "₹0.05", 99_900: "₹999", 1_000_00: "₹1,000", 99_999_99: "₹99,999.99", 1_00_000_00: "₹1,00,000",
		12_34_567_50: "₹12,34,567.50", 1_23_45_678_00: "₹1,23,45,678", 100_00_00_000_00: "₹1,00,00,00,000",
	} {
		if got := rupees(paise); got != want {
			t.Errorf("rupees(%d) = %s, want %s", paise, got, want)
		}
	}
}
