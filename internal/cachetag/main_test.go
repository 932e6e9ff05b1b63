package cachetag

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

// patience is for tests in which Redis is well: a busy machine must not look like a fault.
const patience = 20 * time.Second

func open(t testing.TB, url string, change ...func(*Options)) *Cache {
	t.Helper()
	o := Options{URL: url, ReadTimeout: patience, WriteTimeout: patience}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw is a client that does to Redis what the cache would not.
func raw(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

// through is a URL with another address, such as that of a gate.
func through(t testing.TB, address, address2 string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address2
	return u.String()
}

func hostOf(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// until waits for something that comes true by itself.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func number(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// constant is a load that gives the same again and again.
func constant(n int64) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return number(n), nil }
}

// reads wants a value with an outcome.
func reads(t testing.TB, c *Cache, e Entry, load func(context.Context) ([]byte, error), value string, outcome Outcome) {
	t.Helper()
	got, how, err := c.Read(t.Context(), e, load)
	if err != nil || string(got) != value || how != outcome {
		t.Fatalf("read %s %s: got %q, %s, %v; want %q, %s", e.Name, e.Key, got, how, err, value, outcome)
	}
}

func bump(t testing.TB, c *Cache, organization string, tags ...string) {
	t.Helper()
	if err := c.Bump(t.Context(), organization, tags...); err != nil {
		t.Fatal(err)
	}
}
