package cli

import (
	"strings"
	"testing"
)

// Who watches the demo reads why another answered, and no code.
func TestFallbackReasonsReadAsWords(t *testing.T) {
	t.Parallel()
	for class, want := range map[string]string{
		"breaker_open":  "rules (x.v1), as the first choice has failed too often of late",
		"unavailable":   "rules (x.v1), as the first choice can't be reached",
		"out_of_budget": "rules (x.v1), as the first choice has no budget left",
		"new_and_odd":   "rules (x.v1), as the first choice had a failure (new and odd)",
	} {
		if got := (demoAnswer{Provider: "rules", Model: "x.v1", FallbackReason: &class}).by(); got != want || strings.Contains(got, "_") {
			t.Errorf("%s: %s, want %s", class, got, want)
		}
	}
}
