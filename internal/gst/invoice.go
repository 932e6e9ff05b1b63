package gst

import (
	"fmt"
	"time"
)

// FinancialYear is the year in whose April the financial year of the date begins: 2026 for 1 April 2026 to 31
// March 2027. The date is read as it stands, in its own zone.
func FinancialYear(date time.Time) int {
	if date.Month() < time.April {
		return date.Year() - 1
	}
	return date.Year()
}

// InvoiceNumber writes the number of the sequence-th invoice of a financial year: "INV/26-27/00042". Rule
// 46(b) of the CGST Rules allows 16 characters, so from the millionth on "INV/" is left out, which holds for
// all sequences of 31 bits. Two sequences of one century never have the same number.
func InvoiceNumber(year, sequence int) string {
	years := fmt.Sprintf("%02d-%02d", year%100, (year+1)%100)
	if sequence > 999_999 {
		return fmt.Sprintf("%s/%d", years, sequence)
	}
	return fmt.Sprintf("INV/%s/%05d", years, sequence)
}
