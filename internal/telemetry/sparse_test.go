package telemetry

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestSparse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Sparse
		tell := func(key string, wantLeft int, wantDue bool) {
			t.Helper()
			if left, due := s.Tell(key); left != wantLeft || due != wantDue {
				t.Errorf("%s: got %d, %v, want %d, %v", key, left, due, wantLeft, wantDue)
			}
		}
		tell("a", 0, true)
		tell("a", 0, false)
		tell("b", 0, true)
		time.Sleep(SparseEvery - 1)
		tell("a", 0, false)
		time.Sleep(time.Nanosecond)
		tell("a", 2, true)
		tell("a", 0, false)
		time.Sleep(2 * SparseEvery)
		tell("a", 1, true)
		tell("b", 0, true)
	})
}

// Lines that differ each time cost no memory without end.
func TestSparseIsBounded(t *testing.T) {
	t.Parallel()
	var s Sparse
	for i := range 3 * sparseMost {
		if _, due := s.Tell(strconv.Itoa(i)); !due {
			t.Fatalf("line %d was left out", i)
		}
	}
	if len(s.told) > sparseMost {
		t.Errorf("%d are remembered", len(s.told))
	}
}
