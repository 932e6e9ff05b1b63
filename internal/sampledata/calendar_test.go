package sampledata

import (
	"testing"

	"pgregory.net/rapid"
)

// TestCalendarGoesForward: what comes later in the order comes later in time, and before today.
func TestCalendarGoesForward(t *testing.T) {
	t.Parallel()
	c := newCalendar(testDay)
	chance := newChance(1)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 50), rapid.IntRange(1, Most)).Draw(t, "n")
		i := rapid.IntRange(0, n-1).Draw(t, "i")
		first := c.at(i, n, chance.of(contactKind, i))
		if first.Before(c.days[0]) || !first.Before(c.today) {
			t.Fatalf("%d of %d is at %s", i, n, first)
		}
		if i+1 < n {
			if second := c.at(i+1, n, chance.of(contactKind, i+1)); second.Before(first) {
				t.Fatalf("%d of %d is at %s, and the one before at %s", i+1, n, second, first)
			}
		}
	})
}

// TestChanceIsOfTheRow: what a row draws does not depend on who asked before.
func TestChanceIsOfTheRow(t *testing.T) {
	t.Parallel()
	a, b := newChance(5), newChance(5)
	a.of(contactKind, 1).Uint64()
	a.of(dealKind, 3).Uint64()
	x, y := a.of(contactKind, 3), b.of(contactKind, 3)
	for range 10 {
		if g, w := x.Uint64(), y.Uint64(); g != w {
			t.Fatalf("drew %d and %d", g, w)
		}
	}
	if a.of(contactKind, 3).Uint64() == a.of(dealKind, 3).Uint64() {
		t.Error("two kinds draw the same")
	}
}
