package cachetag

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

func redisURL(t testing.TB) string {
	t.Helper()
	return localstack.TestRedis(t).URL()
}

// What Redis loses costs misses and nothing else.
func TestNoStaleReadsWhileRedisForgets(t *testing.T) {
	t.Parallel()
	url := localstack.NewRedis(t).URL() // its own: everything is flushed
	client := raw(t, url)
	e := anEntry(t)
	e.Tags = []string{Contacts, Deals}
	e.Lease = 50 * time.Millisecond
	reads, stale := storm(t, 2*time.Second, []design{ours{open(t, url), e}, ours{open(t, url), e}}, func(ctx context.Context) {
		for ctx.Err() == nil {
			var err error
			switch rand.N(3) {
			case 0:
				err = client.FlushAll(ctx).Err()
			case 1:
				err = client.Del(ctx, stampKey(e.Organization, Contacts)).Err()
			default:
				err = client.Unlink(ctx, e.key(), stampKey(e.Organization, Deals)).Err()
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			pause(ctx, rand.N(5*time.Millisecond))
		}
	})
	t.Logf("%d reads, %d stale", reads, stale)
	if stale > 0 || reads < 100 {
		t.Errorf("%d of %d reads were stale", stale, reads)
	}
}

// A stamp that was evicted comes back as another one: old values stay dead.
func TestAnEvictedStampRevivesNothing(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	c, client, e := open(t, url), raw(t, url), anEntry(t)
	reads(t, c, e, constant(1), "1", Miss)
	reads(t, c, e, constant(2), "1", Hit)
	bump(t, c, e.Organization, e.Tags...)
	for range 3 {
		if err := client.Del(t.Context(), stampKey(e.Organization, Contacts)).Err(); err != nil {
			t.Fatal(err)
		}
		bump(t, c, e.Organization, e.Tags...)
	}
	reads(t, c, e, constant(2), "2", Miss)
	reads(t, c, e, constant(3), "2", Hit)
	if err := client.Del(t.Context(), stampKey(e.Organization, Contacts)).Err(); err != nil {
		t.Fatal(err)
	}
	reads(t, c, e, constant(3), "3", Miss)
}

// A server that starts with an older state of its data has lost invalidations that it acknowledged.
func TestAnOlderStateOfTheServerRevivesNothing(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	url := server.URL()
	c, client, e := open(t, url), raw(t, url), anEntry(t)
	reads(t, c, e, constant(1), "1", Miss)
	reads(t, c, e, constant(2), "1", Hit)
	kept := map[string]string{}
	for _, key := range e.keys() {
		v, err := client.Get(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		kept[key] = v
	}
	bump(t, c, e.Organization, e.Tags...)
	restore := func() {
		for key, v := range kept {
			if err := client.Set(t.Context(), key, v, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	restore()
	// Within one life of the server this is the state of before, and counts: the restore is a faithful one.
	reads(t, c, e, constant(2), "1", Hit)
	bump(t, c, e.Organization, e.Tags...)

	server.Kill()
	if err := server.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the client finds its way back", func() bool { return client.Ping(t.Context()).Err() == nil })
	restore()
	// The process that was there before, and one that is new.
	until(t, "the cache finds its way back", func() bool {
		value, outcome, err := c.Read(t.Context(), e, constant(2))
		if err != nil || string(value) != "2" {
			t.Fatalf("after the restart: got %q, %s, %v", value, outcome, err)
		}
		return outcome != Bypass
	})
	restore()
	reads(t, open(t, url), e, constant(2), "2", Miss)
}

// A promoted replica has a history of its own.
func TestAPromotionBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	var e epochs
	e.enter("a")
	e.enter("b")
	e.enter("a") // by a connection that was slow
	if e.now() != "b" {
		t.Errorf("epoch %q came back", e.now())
	}
	server := localstack.NewRedis(t)
	c, client := open(t, server.URL()), raw(t, server.URL())
	reads(t, c, anEntry(t), constant(1), "1", Miss)
	// Of nobody, and of itself again: its history goes on under a new name, as after a failover.
	if err := client.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	reads(t, open(t, server.URL()), anEntry(t), constant(2), "2", Miss)
}

func TestChangedTagsAreAMiss(t *testing.T) {
	t.Parallel()
	c, e := open(t, redisURL(t)), anEntry(t)
	reads(t, c, e, constant(1), "1", Miss)
	for _, tags := range [][]string{{Contacts, Deals}, {Deals}, {}} {
		changed := e
		changed.Tags = tags
		reads(t, c, changed, constant(2), "2", Miss)
		reads(t, c, changed, constant(3), "2", Hit)
	}
	reshaped := e
	reshaped.Version = "2"
	reads(t, c, reshaped, constant(3), "3", Miss)
	// The order of tags, and one that is named twice, mean nothing.
	both := e
	both.Tags = []string{Deals, Contacts}
	reads(t, c, both, constant(4), "4", Miss)
	both.Tags = []string{Contacts, Deals, Contacts}
	reads(t, c, both, constant(5), "4", Hit)
}

// What stands under our key and is not ours, or was cut, is a miss.
func TestForeignBytesAreAMiss(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	c, client, e := open(t, url), raw(t, url), anEntry(t)
	reads(t, c, e, constant(1), "1", Miss)
	whole, err := client.Get(t.Context(), e.key()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(whole) {
		other := whole[:i] + string(whole[i]^1) + whole[i+1:]
		for _, foreign := range []string{whole[:i], other, whole + whole[i:]} {
			if err := client.Set(t.Context(), e.key(), foreign, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			reads(t, c, e, constant(2), "2", Miss)
		}
	}
	if err := client.Del(t.Context(), e.key()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.LPush(t.Context(), e.key(), "x").Err(); err != nil {
		t.Fatal(err)
	}
	reads(t, c, e, constant(3), "3", Miss)
	reads(t, c, e, constant(4), "3", Hit)
}
