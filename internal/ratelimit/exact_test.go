package ratelimit

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/localstack"
)

const window = time.Minute

// taker is one of the two logs under a clock that the test sets.
type taker func(client string, limit int, now time.Duration) Result

// both are a log under such a clock, and what it takes and gives back at once.
type both struct {
	take     func(client string, limit, n int, now time.Duration, id uint64) Result
	giveBack func(client string, n int, at time.Duration, id uint64)
}

var ids atomic.Uint64

func (b both) one(client string, limit int, now time.Duration) Result {
	return b.take(client, limit, 1, now, ids.Add(1))
}

func localUnderClock() both {
	log := newLocalLog(window)
	return both{
		take: func(client string, limit, n int, now time.Duration, _ uint64) Result {
			return log.take(client, limit, n, now)
		},
		giveBack: func(client string, n int, at time.Duration, _ uint64) { log.giveBack(client, n, at) },
	}
}

// bothLogs gives a test each log, new and empty on each call.
func bothLogs(t *testing.T, test func(t *testing.T, fresh func() taker)) {
	eachLog(t, func(t *testing.T, fresh func() both) { test(t, func() taker { return fresh().one }) })
}

func eachLog(t *testing.T, test func(t *testing.T, fresh func() both)) {
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		test(t, localUnderClock)
	})
	t.Run("shared", func(t *testing.T) {
		t.Parallel()
		test(t, sharedUnderClock(t))
	})
}

var clocks atomic.Int64

// sharedUnderClock is the script of Redis on a clock that is a key of its own.
func sharedUnderClock(t *testing.T) func() both {
	log := newRedisLog(redisOptions(t, localstack.TestRedis(t)), window, 10*time.Second)
	t.Cleanup(func() { log.client.Close() })
	return func() both {
		name := "clock:" + strconv.FormatInt(clocks.Add(1), 10)
		log := *log
		log.script = redis.NewScript(fmt.Sprintf("local now = tonumber(redis.call('GET', '%s'))", name) + slidingLog)
		take := func(client string, limit, n int, now time.Duration, id uint64) Result {
			const epoch = 1_790_000_000_000_000 // as far on as clocks are today
			if err := log.client.Set(t.Context(), name, epoch+now.Microseconds(), 0).Err(); err != nil {
				t.Fatal(err)
			}
			r, err := log.take(t.Context(), name+client, limit, n, id)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		return both{take, func(client string, n int, _ time.Duration, id uint64) {
			if err := log.giveBack(t.Context(), name+client, n, id); err != nil {
				t.Error(err)
			}
		}}
	}
}

// Of many at once none are let through, or all that there is room for, and what was given back has never been.
func TestExactWithCosts(t *testing.T) {
	t.Parallel()
	type entry struct {
		at   time.Duration
		n    int
		id   uint64
		gone bool
	}
	eachLog(t, func(t *testing.T, fresh func() both) {
		rapid.Check(t, func(t *rapid.T) {
			log, limit := fresh(), rapid.IntRange(1, 12).Draw(t, "limit")
			gap := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 20_000_000), rapid.IntRange(59_999_999, 60_000_001), rapid.IntRange(0, 3))
			var let []entry
			now := time.Duration(0)
			for i, g := range rapid.SliceOfN(gap, 1, 50).Draw(t, "gaps") {
				now += time.Duration(g) * time.Microsecond
				if len(let) > 0 && rapid.IntRange(0, 3).Draw(t, "give back") == 0 {
					e := &let[rapid.IntRange(0, len(let)-1).Draw(t, "which")]
					// The local log tells requests of one moment apart by nothing but their number, so each is given back once.
					if !e.gone && e.at > now-window {
						e.gone = true
						log.giveBack("c", e.n, e.at, e.id)
					}
				}
				var inWindow []time.Duration // the time of each that counts, oldest first
				for _, e := range let {
					for range e.n {
						if !e.gone && e.at > now-window {
							inWindow = append(inWindow, e.at)
						}
					}
				}
				n, id := rapid.IntRange(1, limit+2).Draw(t, "n"), ids.Add(1)
				r := log.take("c", limit, n, now, id)
				want := Result{Allowed: len(inWindow)+n <= limit, Limit: limit}
				if want.Allowed {
					let = append(let, entry{at: now, n: n, id: id})
					for range n {
						inWindow = append(inWindow, now)
					}
				} else if n > limit {
					want.RetryAfter = window
				} else {
					want.RetryAfter = inWindow[len(inWindow)+n-limit-1] + window - now
				}
				want.Remaining = limit - len(inWindow)
				if len(inWindow) > 0 {
					want.Reset = inWindow[0] + window - now
				}
				if r != want {
					t.Fatalf("%d at once, number %d, at %s: got %+v, want %+v", n, i, now, r, want)
				}
			}
		})
	})
}

// In no window more than the limit, and nobody is refused who keeps to it: a request is refused only when
// that many were let through within the window before it.
func TestExact(t *testing.T) {
	t.Parallel()
	bothLogs(t, func(t *testing.T, fresh func() taker) {
		rapid.Check(t, func(t *rapid.T) {
			take, limit := fresh(), rapid.IntRange(1, 12).Draw(t, "limit")
			// Some gaps are nothing, some are the window to the microsecond.
			gap := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 20_000_000), rapid.IntRange(59_999_999, 60_000_001), rapid.IntRange(0, 3))
			var let []time.Duration
			now := time.Duration(0)
			for i, g := range rapid.SliceOfN(gap, 1, 60).Draw(t, "gaps") {
				now += time.Duration(g) * time.Microsecond
				r := take("c", limit, now)
				inWindow, oldest := 0, now
				for j := len(let) - 1; j >= 0 && let[j] > now-window; j-- {
					inWindow, oldest = inWindow+1, let[j]
				}
				if r.Allowed != (inWindow < limit) {
					t.Fatalf("request %d at %s: allowed %v with %d in the window", i, now, r.Allowed, inWindow)
				}
				if r.Allowed {
					let, inWindow = append(let, now), inWindow+1
					if n := len(let); n > limit && let[n-1]-let[n-1-limit] < window {
						t.Fatalf("%d requests within %s", limit+1, let[n-1]-let[n-1-limit])
					}
				}
				want := Result{Allowed: r.Allowed, Limit: limit, Remaining: limit - inWindow, Reset: oldest + window - now}
				if !r.Allowed {
					want.RetryAfter = want.Reset
				}
				if r != want {
					t.Fatalf("request %d at %s: got %+v, want %+v", i, now, r, want)
				}
			}
		})
	})
}

func TestLegalBurstsAreNeverRefused(t *testing.T) {
	t.Parallel()
	bothLogs(t, func(t *testing.T, fresh func() taker) {
		take, now := fresh(), time.Duration(0)
		for range 5 {
			for i := range 100 {
				if r := take("c", 100, now); !r.Allowed || r.Remaining != 99-i {
					t.Fatalf("request %d at %s: %+v", i, now, r)
				}
			}
			for range 3 { // who asks too often in between waits no longer for it
				if r := take("c", 100, now); r.Allowed || r.RetryAfter != window {
					t.Fatalf("one too many at %s: %+v", now, r)
				}
			}
			if r := take("other", 100, now); !r.Allowed {
				t.Fatalf("another client: %+v", r)
			}
			now += window
		}
	})
}

// A limit that was lowered holds at once, and says when it lets through again.
func TestLoweredLimit(t *testing.T) {
	t.Parallel()
	bothLogs(t, func(t *testing.T, fresh func() taker) {
		take := fresh()
		for i := range 10 {
			take("c", 10, time.Duration(i)*time.Second)
		}
		r := take("c", 3, 20*time.Second)
		// Of 0 to 9 s the one of 7 s is the third last.
		if want := (Result{Limit: 3, Reset: 40 * time.Second, RetryAfter: 47 * time.Second}); r != want {
			t.Fatalf("got %+v, want %+v", r, want)
		}
		if r := take("c", 3, 67*time.Second-time.Microsecond); r.Allowed {
			t.Errorf("let through too early: %+v", r)
		}
		if r := take("c", 3, 67*time.Second); !r.Allowed {
			t.Errorf("refused after the time that was named: %+v", r)
		}
	})
}

func TestLocalForgets(t *testing.T) {
	t.Parallel()
	l := newLocalLog(window)
	for i := range 1000 {
		l.take(strconv.Itoa(i), 5, 1, time.Duration(i)*time.Millisecond)
	}
	l.take("nothing", 5, 6, window+time.Second) // leaves no trace
	l.note("nothing", 5, 6, window, window+time.Second)
	l.take("back", 5, 3, window+time.Second)
	l.giveBack("back", 3, window+time.Second)
	l.giveBack("nobody", 3, window)
	l.take("last", 5, 1, 2*window)
	if len(l.clients) != 1 || l.times != 4 || l.ring.next != l.clients["last"] || l.ring.prev != l.clients["last"] {
		t.Errorf("left %d clients with room for %d times", len(l.clients), l.times)
	}
}

// However many clients come, memory has an end, and who asks most is not who is forgotten.
func TestLocalIsBounded(t *testing.T) {
	t.Parallel()
	l := newLocalLog(window)
	refused := 0
	for i := range maxClients + 10_000 {
		l.take(strconv.Itoa(i), 100, 1, time.Duration(i)*time.Microsecond)
		if i%1000 == 0 && !l.take("busy", 3, 1, time.Duration(i)*time.Microsecond).Allowed {
			refused++
		}
	}
	if len(l.clients) > maxClients+1 || l.times > maxTimes {
		t.Errorf("%d clients, room for %d times", len(l.clients), l.times)
	}
	for i := range 3 * maxTimes / 1000 {
		now := time.Second + time.Duration(i)*time.Microsecond
		for range 3 {
			l.take("many"+strconv.Itoa(i), 1000, 1, now)
		}
		for range 500 {
			l.note("big", 1_000_000, 1, now, now)
		}
	}
	if l.times > maxTimes || l.clients["big"] == nil {
		t.Errorf("room for %d times, the biggest known: %v", l.times, l.clients["big"] != nil)
	}
	total := 0
	for c := l.ring.next; c != &l.ring; c = c.next {
		total += len(c.times)
	}
	if total != l.times {
		t.Errorf("counted room for %d times, there is %d", l.times, total)
	}
}

// A clock that is set back gives nobody a second limit at once, and keeps nobody out for longer than two windows.
func TestRedisClockIsSetBack(t *testing.T) {
	t.Parallel()
	const limit = 5
	for _, c := range []struct{ back, wait time.Duration }{
		{5 * time.Second, 5*time.Second + window}, {window - time.Second, 2*window - time.Second}, {time.Hour, 0},
	} {
		take := sharedUnderClock(t)().one
		for range limit {
			take("c", limit, 24*time.Hour)
		}
		after := 24*time.Hour - c.back
		r := take("c", limit, after)
		if r.Allowed != (c.wait == 0) || r.RetryAfter != c.wait {
			t.Errorf("set back by %s: got %+v, want to wait for %s", c.back, r, c.wait)
		}
		if c.wait > 0 && (take("c", limit, after+c.wait-time.Microsecond).Allowed || !take("c", limit, after+c.wait).Allowed) {
			t.Errorf("set back by %s: not let through after %s, or before", c.back, c.wait)
		}
	}
}
