//go:build race

package taxinvoice

import "flag"

// The race detector makes a drawing take most of a second, and finds no more in the hundredth than in the twentieth.
// -rapid.checks still has the last word, as it is read later.
func init() {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
}
