package minutes

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A percentile lies in the class of the true one, of however many parts the times were added up.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Float64Range(0, 400_000), 1, 200).Draw(t, "ms")
		share := rapid.Float64Range(0.01, 1).Draw(t, "share")
		var parts [3]Times
		var all Times
		for i, one := range ms {
			parts[i%3].note(time.Duration(one * float64(time.Millisecond)))
		}
		for _, p := range parts {
			all.Add(p)
		}
		slices.Sort(ms)
		exact := ms[max(0, int(math.Ceil(share*float64(len(ms))))-1)]
		got, ok := all.Percentile(share)
		if !ok || all.Count != int64(len(ms)) {
			t.Fatalf("%d times of %d", all.Count, len(ms))
		}
		place, _ := slices.BinarySearch(bounds[:], exact)
		lower, upper := 0.0, ms[len(ms)-1]
		if place > 0 {
			lower = bounds[place-1]
		}
		if place < len(bounds) {
			upper = min(upper, bounds[place])
		}
		if g := float64(got) / float64(time.Millisecond); g < lower-0.001 || g > upper+0.001 {
			t.Fatalf("the %g of %v: got %g, want %g to %g", share, ms, g, lower, upper)
		}
	})
	var none Times
	if _, ok := none.Percentile(0.95); ok {
		t.Error("nothing has a percentile")
	}
	if _, ok := none.Average(); ok {
		t.Error("nothing has an average")
	}
}

func BenchmarkRequest(b *testing.B) {
	r := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		r.Request(Request{Status: 200, Took: 3 * time.Millisecond})
	}
}

func BenchmarkRequestsAtOnce(b *testing.B) {
	r := New(Config{})
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r.Request(Request{Status: 200, Took: 3 * time.Millisecond})
		}
	})
}
