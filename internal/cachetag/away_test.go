package cachetag

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
)

// gated is a cache whose way to Redis can be broken. Its timeouts are short, as in production.
func gated(t *testing.T) (*localstack.Gate, *Cache, *Cache) {
	t.Helper()
	url := redisURL(t)
	gate := localstack.NewGate(t, hostOf(t, url))
	short := func(o *Options) { o.ReadTimeout, o.WriteTimeout = 200*time.Millisecond, 300*time.Millisecond }
	return gate, open(t, through(t, url, gate.Addr()), short), open(t, url)
}

// warm reads until it is a hit: on a busy machine short timeouts may strike.
func warm(t *testing.T, c *Cache, e Entry, value string) {
	t.Helper()
	until(t, "a hit", func() bool {
		got, outcome, err := c.Read(t.Context(), e, func(context.Context) ([]byte, error) { return []byte(value), nil })
		if err != nil || string(got) != value {
			t.Fatalf("got %q, %s, %v; want %q", got, outcome, err, value)
		}
		return outcome == Hit
	})
}

// Redis dies, or hangs: reads go on, soon at no cost at all, and hits come back by themselves.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*localstack.Gate){"dead": (*localstack.Gate).Shut, "hanging": (*localstack.Gate).Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate, c, _ := gated(t)
			e := anEntry(t)
			warm(t, c, e, "1")
			leave(gate)
			for range downAfter {
				reads(t, c, e, constant(1), "1", Bypass)
			}
			until(t, "the breaker opens", func() bool {
				reads(t, c, e, constant(1), "1", Bypass)
				return !c.Stats().Up
			})
			calls := c.Stats().Errors
			began := time.Now()
			for range 1000 {
				reads(t, c, e, constant(1), "1", Bypass)
			}
			took := time.Since(began) // if each had to wait, 50 s
			if took > 20*time.Second || c.Stats().Errors > calls+20+int64(took/time.Second) {
				t.Errorf("1000 reads took %s and %d calls to Redis", took, c.Stats().Errors-calls)
			}
			gate.Open()
			until(t, "the breaker closes", func() bool { return c.Stats().Up })
			warm(t, c, e, "1")
		})
	}
}

// An invalidation that could not be made bypasses what it is about, here, until it was made; then it is
// true for all.
func TestABumpThatIsOwed(t *testing.T) {
	t.Parallel()
	gate, c, elsewhere := gated(t)
	e, deals := anEntry(t), anEntry(t)
	deals.Name, deals.Tags = "deal:list", []string{Deals}
	warm(t, c, e, "1")
	warm(t, c, deals, "1")
	gate.Shut()
	began := time.Now()
	if err := c.Bump(t.Context(), e.Organization, Contacts); err == nil {
		t.Fatal("a bump was acknowledged by nobody")
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	reads(t, c, e, constant(2), "2", Bypass)
	// Nobody else knows yet.
	reads(t, elsewhere, e, constant(2), "1", Hit)
	if owed := c.Stats().Owed; owed != 1 {
		t.Errorf("%d owed", owed)
	}
	until(t, "the breaker opens", func() bool {
		reads(t, c, deals, constant(1), "1", Bypass)
		return !c.Stats().Up
	})
	if err := c.Bump(t.Context(), e.Organization, Contacts, Org); !errors.Is(err, ErrAway) {
		t.Errorf("got %v, want ErrAway at once", err)
	}
	gate.Open()
	until(t, "nothing is owed", func() bool {
		value, outcome, err := c.Read(t.Context(), e, constant(3))
		if err != nil || string(value) == "1" || outcome == Hit && string(value) == "2" {
			t.Fatalf("while it comes back: got %q, %s, %v", value, outcome, err)
		}
		return c.Stats().Owed == 0
	})
	warm(t, c, deals, "1") // was not concerned
	warm(t, c, e, "3")
	reads(t, elsewhere, e, constant(4), "3", Hit)
}

// A Redis that answers reads and refuses writes has acknowledged nothing.
func TestARefusedBumpIsOwed(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	c, client, e := open(t, server.URL()), raw(t, server.URL()), anEntry(t)
	warm(t, c, e, "1")
	set(t, client, "min-replicas-to-write", "1")
	if err := c.Bump(t.Context(), e.Organization, Contacts); err == nil {
		t.Fatal("a bump was acknowledged without a write")
	}
	reads(t, c, e, constant(2), "2", Bypass)
	set(t, client, "min-replicas-to-write", "0")
	until(t, "nothing is owed", func() bool { return c.Stats().Owed == 0 })
	warm(t, c, e, "3")
}

// A Redis without memory can still be told what is void, by one process for all.
func TestBumpWithoutMemory(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	c, elsewhere, client, e := open(t, server.URL()), open(t, server.URL()), raw(t, server.URL()), anEntry(t)
	other := anEntry(t)
	other.Organization = "other"
	warm(t, c, e, "1")
	warm(t, elsewhere, other, "1")
	set(t, client, "maxmemory-policy", "noeviction")
	set(t, client, "maxmemory", "1")
	bump(t, c, e.Organization, Contacts, Deals)
	reads(t, elsewhere, e, constant(2), "2", Bypass)
	reads(t, c, e, constant(2), "2", Bypass)
	reads(t, elsewhere, other, constant(2), "1", Hit)
	set(t, client, "maxmemory", "0")
	until(t, "a hit", func() bool {
		value, outcome, err := elsewhere.Read(t.Context(), e, constant(3))
		if err != nil || string(value) != "3" {
			t.Fatalf("got %q, %s, %v", value, outcome, err)
		}
		return outcome == Hit
	})
}

func set(t *testing.T, client *redis.Client, name, value string) {
	t.Helper()
	if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// More is owed than can be remembered: nothing is trusted until what was cached before has ended.
func TestOwedIsBounded(t *testing.T) {
	t.Parallel()
	o := owed{most: 2}
	o.add([]debt{{"a", Contacts}, {"a", Deals}, {"a", Deals}})
	if o.concerns("b", []string{Contacts}) || o.concerns("a", []string{Org}) || !o.concerns("a", []string{Org, Deals}) {
		t.Error("two debts concern the wrong")
	}
	o.add([]debt{{"c", Org}})
	if !o.concerns("b", []string{Contacts}) || o.count.Load() != 2 {
		t.Errorf("a forgotten debt concerns nobody; %d are remembered", o.count.Load())
	}
	if until := time.Unix(0, o.overflow.Load()); time.Until(until) < LongestTTL*11/10 {
		t.Errorf("only until %s", until)
	}
}

// A debt that is paid while another of the same name comes leaves that one.
func TestPayingLeavesLaterDebts(t *testing.T) {
	t.Parallel()
	var o owed
	list := []debt{{"a", Contacts}}
	o.add(list)
	due := o.numbers(list)
	o.add(list)
	o.settle(list, due)
	if !o.concerns("a", []string{Contacts}) {
		t.Error("the later debt was crossed out")
	}
	o.settle(list, o.numbers(list))
	if o.concerns("a", []string{Contacts}) || o.count.Load() != 0 {
		t.Error("a debt stays")
	}
}
