package cachetag

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/payaid/payaid/internal/localstack"
)

// claims wants a claim with an outcome, and is patient with whoever makes it.
func claims(t testing.TB, c *Cache, e Entry, want Outcome) *Claim {
	t.Helper()
	claim := c.Claim(t.Context(), e, "", patience)
	t.Cleanup(func() { claim.Release(t.Context()) })
	if claim.Outcome != want {
		t.Fatalf("the claim is a %s, want a %s", claim.Outcome, want)
	}
	return claim
}

func hit(t testing.TB, c *Cache, e Entry, want string) {
	t.Helper()
	if claim := claims(t, c, e, Hit); string(claim.Value) != want {
		t.Fatalf("got %q, want %q", claim.Value, want)
	}
}

// Of many who claim the same at once, in three processes, one makes it.
func TestOneMakesForAll(t *testing.T) {
	t.Parallel()
	url, e := redisURL(t), anEntry(t)
	list := []*Cache{open(t, url), open(t, url), open(t, url)}
	if made := makers300(t, list, e, func(claim *Claim) { claim.Keep(t.Context(), number(1)) }); made != 1 {
		t.Errorf("%d made it", made)
	}
}

// makers300 has 300 claim at once, and counts those who have to make it.
func makers300(t *testing.T, list []*Cache, e Entry, make func(*Claim)) int64 {
	t.Helper()
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			claim := list[i%len(list)].Claim(t.Context(), e, "", patience)
			defer claim.Release(t.Context())
			switch {
			case claim.Outcome == Miss:
				made.Add(1)
				make(claim)
			case claim.Outcome != Hit || string(claim.Value) != "1":
				t.Errorf("got %q by a %s", claim.Value, claim.Outcome)
			}
		})
	}
	wg.Wait()
	return made.Load()
}

// A maker that gives up hands over to one of those who wait, and to no more than one.
func TestAMakerThatGivesUp(t *testing.T) {
	t.Parallel()
	url, e := redisURL(t), anEntry(t)
	list := []*Cache{open(t, url), open(t, url)}
	var turns atomic.Int64
	made := makers300(t, list, e, func(claim *Claim) {
		if turns.Add(1) == 3 {
			claim.Keep(t.Context(), number(1))
		}
	})
	if made != 3 {
		t.Errorf("%d tried to make it, want two who gave up and one", made)
	}
}

// A maker keeps its value and is gone after another has looked, and before that one asks for the lease.
func TestALookThatCameTooEarly(t *testing.T) {
	t.Parallel()
	url, e := redisURL(t), anEntry(t)
	c, late := open(t, url), open(t, url)
	claims(t, late, Entry{Organization: e.Organization, Name: "warm", TTL: time.Minute}, Miss) // its connection is there
	maker := claims(t, c, e, Miss)
	send, end := late.looks.send, sync.OnceFunc(func() {
		maker.Keep(t.Context(), number(1))
		maker.Release(t.Context())
	})
	late.looks.send = func(batch []*looking) {
		send(batch)
		end()
	}
	hit(t, late, e, "1")
	claims(t, c, Entry{Organization: e.Organization, Name: "other", Tags: e.Tags, TTL: time.Minute}, Miss)
	hit(t, c, e, "1")
}

// The lease of a maker that was killed ends by itself, and the next one makes it.
func TestAMakerThatDies(t *testing.T) {
	t.Parallel()
	c, client, e := open(t, redisURL(t)), raw(t, redisURL(t)), anEntry(t)
	seen, ok := c.sees(t.Context(), e)
	if !ok {
		t.Fatal("no look")
	}
	const left = 2 * time.Second
	began := time.Now()
	if err := client.Set(t.Context(), seen.leaseKey(""), "of one who's dead"[:16]+"0", left).Err(); err != nil {
		t.Fatal(err)
	}
	// It has been at it since 1970, so nobody waits for it who need not.
	if claim := c.Claim(t.Context(), e, "", time.Second); claim.Outcome != Busy || claim.Age < time.Hour {
		t.Errorf("a %s by somebody at it for %s, want busy", claim.Outcome, claim.Age)
	}
	until(t, "the lease ends", func() bool {
		claim := c.Claim(t.Context(), e, "", time.Second)
		claim.Release(t.Context())
		return claim.Outcome == Miss
	})
	if took := time.Since(began); took < left/2 {
		t.Errorf("the lease of another was taken after %s", took)
	}
}

// A lease lives as long as its maker is at it, whatever becomes of it in Redis, and little longer.
func TestALeaseIsRenewed(t *testing.T) {
	t.Parallel()
	c, client, e := open(t, redisURL(t)), raw(t, redisURL(t)), anEntry(t)
	maker := claims(t, c, e, Miss)
	key := maker.lease.key
	lives := func() time.Duration { return client.PTTL(t.Context(), key).Val() }
	if d := lives(); d <= 0 || d > leaseTTL {
		t.Fatalf("it lives %s", d)
	}
	began, _ := client.Get(t.Context(), key).Result()
	client.PExpire(t.Context(), key, leaseTTL*9/10)
	until(t, "it is renewed", func() bool { return lives() > leaseTTL*9/10 })
	if now, _ := client.Get(t.Context(), key).Result(); now != began {
		t.Errorf("renewed it is %q, want %q: since when it is held", now, began)
	}
	client.Del(t.Context(), key)
	until(t, "it is taken again", func() bool { return lives() > 0 })
	maker.Release(t.Context())
	if n := client.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("it is there after its end")
	}
	// Of another it is neither renewed nor taken away.
	maker = claims(t, c, e, Miss)
	client.Set(t.Context(), key, "of another maker"+"0", time.Hour)
	maker.Release(t.Context())
	if d := lives(); d < leaseTTL {
		t.Errorf("another's lives %s", d)
	}
}

// Who has waited long enough is told so; who comes later than that is told at once.
func TestBusy(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	maker := claims(t, c, e, Miss)
	const wait = 300 * time.Millisecond
	var looks atomic.Int64
	send := c.looks.send
	c.looks.send = func(batch []*looking) {
		looks.Add(1)
		send(batch)
	}
	for range 2 {
		looks.Store(0)
		claim := c.Claim(t.Context(), e, "", wait)
		if claim.Outcome != Busy || claim.Age < wait-time.Millisecond {
			t.Errorf("a %s, at it for %s, want busy", claim.Outcome, claim.Age)
		}
		claim.Keep(t.Context(), number(2))
		claim.Release(t.Context())
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("who came late looked %d times", n)
	}
	maker.Keep(t.Context(), number(1))
	maker.Release(t.Context())
	hit(t, c, e, "1")
}

// Who has no time doesn't wait for one who has; what either makes is for both.
func TestLanes(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	slow := claims(t, c, e, Miss)
	quick := c.Claim(t.Context(), e, "quick", patience)
	defer quick.Release(t.Context())
	if quick.Outcome != Miss {
		t.Fatalf("a %s", quick.Outcome)
	}
	quick.Keep(t.Context(), number(1))
	hit(t, c, e, "1")
	slow.Keep(t.Context(), number(2))
	hit(t, c, e, "2")
}

// Where a value turned out to be of a sort that isn't kept, nobody waits for another's.
func TestAWaivedLease(t *testing.T) {
	t.Parallel()
	url, e := redisURL(t), anEntry(t)
	c, elsewhere := open(t, url), open(t, url)
	maker := claims(t, c, e, Miss)
	key := maker.lease.key
	maker.Waive(t.Context())
	maker.Release(t.Context())
	one, two := claims(t, c, e, Miss), claims(t, elsewhere, e, Miss)
	one.Release(t.Context())
	if d := raw(t, url).PTTL(t.Context(), key).Val(); d <= leaseTTL || d > waived {
		t.Errorf("it is waived for %s", d)
	}
	two.Keep(t.Context(), number(1))
	hit(t, c, e, "1")
}

// After an invalidation nobody waits for what was begun before it, or gets it.
func TestAClaimAfterAnInvalidation(t *testing.T) {
	t.Parallel()
	url, e := redisURL(t), anEntry(t)
	c, elsewhere := open(t, url), open(t, url)
	old := claims(t, c, e, Miss)
	bump(t, elsewhere, e.Organization, e.Tags...)
	late := claims(t, c, e, Miss)
	old.Keep(t.Context(), number(1))
	old.Release(t.Context())
	if claim := c.Claim(t.Context(), e, "", 0); claim.Outcome != Busy {
		t.Errorf("a %s with %q, want busy", claim.Outcome, claim.Value)
	}
	late.Keep(t.Context(), number(2))
	late.Release(t.Context())
	hit(t, elsewhere, e, "2")
	old.Keep(t.Context(), number(1)) // over the newer: a miss, and not a stale hit
	claims(t, elsewhere, e, Miss)
}

// Redis goes while some make and others wait: all make it for themselves, and nobody is held up.
func TestClaimsWithoutRedis(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*localstack.Gate){"dead": (*localstack.Gate).Shut, "hanging": (*localstack.Gate).Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate, c, _ := gated(t)
			e := anEntry(t)
			maker := c.Claim(t.Context(), e, "", patience)
			until(t, "a lease is had", func() bool {
				if maker.lease == nil {
					maker = c.Claim(t.Context(), e, "", patience)
				}
				return maker.lease != nil
			})
			waiting := make(chan Outcome, 4)
			for range cap(waiting) {
				go func() { waiting <- c.Claim(t.Context(), e, "", patience).Outcome }()
			}
			leave(gate)
			began := time.Now()
			for range cap(waiting) {
				if got := <-waiting; got != Bypass && got != Miss {
					t.Errorf("a %s", got)
				}
			}
			maker.Keep(t.Context(), number(1))
			maker.Release(t.Context())
			if got := c.Claim(t.Context(), e, "", patience).Outcome; got != Bypass {
				t.Errorf("later a %s", got)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it took %s", took)
			}
			gate.Open()
			until(t, "the breaker closes", func() bool { return c.Stats().Up })
			until(t, "claims are had again", func() bool {
				claim := c.Claim(t.Context(), e, "", 0)
				defer claim.Release(t.Context())
				return claim.Outcome == Miss
			})
		})
	}
}

func TestClaimsOfMuchAndOfNothing(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	for _, tt := range []struct {
		size int
		then Outcome
	}{{0, Hit}, {MaxValue, Hit}, {MaxValue + 1, Miss}} {
		e.Key = strconv.Itoa(tt.size)
		maker := claims(t, c, e, Miss)
		maker.Keep(t.Context(), bytes.Repeat([]byte("x"), tt.size))
		maker.Release(t.Context())
		if again := claims(t, c, e, tt.then); tt.then == Hit && len(again.Value) != tt.size {
			t.Errorf("%d bytes come back as %d", tt.size, len(again.Value))
		}
	}
	other := e
	other.Organization += "-other"
	e.Key = "0"
	other.Key = "0"
	claims(t, c, e, Hit)
	claims(t, c, other, Miss)

	var none *Cache
	claim := none.Claim(t.Context(), e, "", patience)
	claim.Keep(t.Context(), number(1))
	claim.Waive(t.Context())
	if claim.Outcome != Bypass {
		t.Errorf("without a cache a %s", claim.Outcome)
	}
}

// Not parallel: it looks at all goroutines.
func TestNothingRunsAfterARelease(t *testing.T) {
	url := redisURL(t)
	before := goleak.IgnoreCurrent()
	c, err := Open(Options{URL: url, ReadTimeout: patience, WriteTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		e := anEntry(t)
		e.Key = strconv.Itoa(i)
		claim := c.Claim(t.Context(), e, "", patience)
		claim.Release(t.Context())
		claim.Release(t.Context())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
