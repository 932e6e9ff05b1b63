package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first"))
		most := time.Duration(rapid.Int64Range(int64(first), int64(240*time.Hour)).Draw(t, "most"))
		attempt := rapid.IntRange(0, 1<<20).Draw(t, "attempt")
		id := rapid.Int64().Draw(t, "river job")
		b := exponential(first, most)
		now, next := b(attempt), b(attempt+1)
		if now < first || now > most || next < now {
			t.Fatalf("waits %s, then %s: want it to grow from %s to %s", now, next, first, most)
		}
		if attempt >= 1 && next != most && next != 2*now {
			t.Fatalf("waits %s, then %s: want double", now, next)
		}
		spread := b.jittered(id, attempt)
		if spread != b.jittered(id, attempt) {
			t.Fatal("the wait that the client is shown is not the one that River is told")
		}
		if low, high := now-now/10-1, now+now/10+1; spread < low || spread > high {
			t.Fatalf("waits %s, want within a tenth of %s", spread, now)
		}
	})
}
