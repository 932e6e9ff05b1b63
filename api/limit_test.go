package api

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/ratelimit"
)

// limited makes a rig count requests: in a Redis, or without one by itself.
func limited(t testing.TB, r *localstack.Redis, limit int, window time.Duration) func(*Config) {
	t.Helper()
	c := ratelimit.Config{Window: window, Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler)}
	if r != nil {
		o, err := redis.ParseURL(r.URL())
		if err != nil {
			t.Fatal(err)
		}
		c.Redis = o
	}
	l := ratelimit.New(c)
	t.Cleanup(func() { l.Close() })
	return func(c *Config) { c.Limiter, c.RateLimit = l, limit }
}

// behindProxy lets tests say where they come from.
func behindProxy(c *Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

var limitNames = []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"}

// left wants the headers of a limited answer, and gives what is left by them.
func (r *reply) left(limit int, window time.Duration) int {
	r.t.Helper()
	number := func(name string) int {
		n, err := strconv.Atoi(r.header.Get(name))
		if err != nil {
			r.t.Fatalf("%s: %d: %s is %q", r.what, r.status, name, r.header.Get(name))
		}
		return n
	}
	left, reset := number("X-RateLimit-Remaining"), time.Until(time.Unix(int64(number("X-RateLimit-Reset")), 0))
	if got := number("X-RateLimit-Limit"); got != limit {
		r.t.Errorf("%s: limit %d, want %d", r.what, got, limit)
	}
	if reset < -2*time.Second || reset > window+time.Second {
		r.t.Errorf("%s: reset in %s", r.what, reset)
	}
	if got, want := r.header.Get("RateLimit-Policy"), fmt.Sprintf(`"default";q=%d;w=%d`, limit, seconds(window)); got != want {
		r.t.Errorf("%s: policy %s, want %s", r.what, got, want)
	}
	var more int
	if _, err := fmt.Sscanf(r.header.Get("RateLimit"), `"default";r=`+strconv.Itoa(left)+";t=%d", &more); err != nil || more < 0 || more > int(seconds(window)) {
		r.t.Errorf("%s: RateLimit is %s with %d left", r.what, r.header.Get("RateLimit"), left)
	}
	return left
}

func (r *reply) unlimited() {
	r.t.Helper()
	for _, name := range limitNames {
		if v := r.header.Get(name); v != "" {
			r.t.Errorf("%s: %d: %s is %q", r.what, r.status, name, v)
		}
	}
}

// Of 101 requests at once by one key, over two processes, 100 are let through.
func TestTheHundredAndFirst(t *testing.T) {
	t.Parallel()
	shared := localstack.TestRedis(t)
	one := newRig(t, limited(t, shared, 100, time.Minute))
	two := newRig(t, limited(t, shared, 100, time.Minute), func(c *Config) { c.DB = one.DB })
	_, key := one.organization(t)
	var ok, refused atomic.Int64
	var clients sync.WaitGroup
	for i := range 101 {
		clients.Go(func() {
			r := []*rig{one, two}[i%2].call(t, key, "GET", "/api/organization", "")
			left := r.left(100, time.Minute)
			switch r.status {
			case 200:
				ok.Add(1)
			case 429:
				refused.Add(1)
				if got, want := r.problem(429, "rate_limited").Detail, "more than 100 requests in 60 s"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if wait, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 || left != 0 {
					t.Errorf("wait %d, %v; %d left", wait, err, left)
				}
			default:
				t.Errorf("got %d", r.status)
			}
		})
	}
	clients.Wait()
	if ok.Load() != 100 || refused.Load() != 1 {
		t.Errorf("%d let through, %d refused", ok.Load(), refused.Load())
	}
	// A key is limited by itself.
	one.call(t, testAdminKey, "GET", "/api/organization", "").want(200)
}

// A client alone that waits as it was told is let through, each time, and one that comes sooner isn't.
func TestRetryAfterIsEnough(t *testing.T) {
	t.Parallel()
	const window = 1200 * time.Millisecond
	for name, r := range map[string]*localstack.Redis{"shared": localstack.TestRedis(t), "local": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, limited(t, r, 3, window))
			_, key := g.organization(t)
			for range 3 {
				began := time.Now()
				for range 3 {
					g.call(t, key, "GET", "/api/organization", "").want(200)
				}
				over := g.call(t, key, "GET", "/api/organization", "")
				if time.Since(began) >= window {
					continue // too slow a machine to tell
				}
				over.problem(429, "rate_limited")
				wait, err := strconv.Atoi(over.header.Get("Retry-After"))
				if err != nil || wait < 1 || wait > 2 {
					t.Fatalf("wait %d: %v", wait, err)
				}
				timer := time.NewTimer(time.Duration(wait) * time.Second)
				<-timer.C
			}
		})
	}
}

func TestEveryAnswerSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 1000, time.Minute), behindProxy)
	org, key := g.organization(t)
	reader := g.key(t, key, "read")
	job := g.submit(t, key, aCompletion)
	etag := g.call(t, key, "GET", "/api/jobs/"+job.ID, "").header.Get("ETag")
	left := g.call(t, key, "GET", "/api/organization", "").left(1000, time.Minute)
	for _, c := range []struct {
		key, method, path, body string
		status                  int
		headers                 []string
	}{
		{key, "GET", "/api/jobs", "", 200, nil},
		{key, "GET", "/api/jobs/" + job.ID, "", 304, []string{"If-None-Match", etag}},
		{key, "GET", "/api/jobs/01a20280-8978-7941-82b6-27e3bdd15c47", "", 404, nil},
		{key, "GET", "/api/jobs?nonsense=1", "", 422, nil},
		{key, "HEAD", "/api/jobs", "", 200, nil},
		{key, "POST", "/api/jobs", "{", 400, nil},
		{key, "POST", "/api/jobs", strings.Repeat(" ", maxBody+1), 413, nil},
		{key, "POST", "/api/jobs", aCompletion, 415, []string{"Content-Type", "text/plain"}},
		{key, "POST", "/api/organizations", `{}`, 403, nil},
		{key, "POST", "/api/jobs", aCompletion, 202, nil},
		{key, "POST", "/api/jobs/batch", `{"jobs":[` + aCompletion + `,` + aCompletion + `,` + aCompletion + `]}`, 202, nil},
	} {
		r := g.call(t, c.key, c.method, c.path, c.body, c.headers...).want(c.status)
		if now := r.left(1000, time.Minute); now != left-1 {
			t.Errorf("%s: %d: %d left after %d", r.what, r.status, now, left)
		}
		left--
	}
	if got := g.call(t, reader, "GET", "/api/jobs", "").left(1000, time.Minute); got != 999 {
		t.Errorf("another key has %d left", got)
	}
	// Strangers count by address.
	strangers := 1000
	for _, c := range []struct {
		key, method, path string
		status            int
	}{
		{"", "GET", "/api/jobs", 401}, {"pay_nonsense", "GET", "/api/jobs", 401}, {"", "GET", "/docs", 200},
		{"", "GET", "/openapi.json", 200}, {"", "GET", "/no/such/path", 404}, {"", "PUT", "/api/jobs", 405},
		{"pay_nonsense", "GET", "/api/system/health", 401},
	} {
		strangers--
		r := g.call(t, c.key, c.method, c.path, "", "X-Forwarded-For", "203.0.113.50").want(c.status)
		if got := r.left(1000, time.Minute); got != strangers {
			t.Errorf("%s: %d left, want %d", r.what, got, strangers)
		}
	}
	w := g.work(t, org, job.ID)
	w.finish(`{"text":"x"}`)
	events := g.call(t, key, "GET", "/api/jobs/"+job.ID+"/events", "").want(200)
	if got := events.left(1000, time.Minute); got != left-1 || events.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s: %d left of %d", events.header.Get("Content-Type"), got, left)
	}
	for _, path := range []string{"/livez", "/readyz", "/api/health", "/api/system/health"} {
		g.call(t, "", "GET", path, "").want(200).unlimited()
	}
	g.call(t, testAdminKey, "GET", "/api/system/health", "").want(200).unlimited()
}

func TestLimitOfAKey(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 5, time.Hour))
	_, key := g.organization(t)
	var slow, quick newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"s","scopes":["read"],"rate_limit":2}`).want(201).json(&slow)
	g.call(t, key, "POST", "/api/api-keys", `{"name":"q","scopes":["read"],"rate_limit":40}`).want(201).json(&quick)
	for k, limit := range map[string]int{slow.Key: 2, quick.Key: 40} {
		for i := range limit {
			if left := g.call(t, k, "GET", "/api/organization", "").want(200).left(limit, time.Hour); left != limit-1-i {
				t.Fatalf("%d left after %d of %d", left, i+1, limit)
			}
		}
		g.call(t, k, "GET", "/api/organization", "").problem(429, "rate_limited")
	}
	for _, path := range []string{"/livez", "/readyz", "/api/health", "/api/system/health"} {
		g.call(t, slow.Key, "GET", path, "").want(200)
	}
}

// Who has no key is told so only so often; a key that opens works beside it.
func TestTryingKeysIsLimited(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 5, time.Hour), behindProxy)
	_, key := g.organization(t)
	from := func(ip string) []string { return []string{"X-Forwarded-For", ip} }
	for i := range 5 {
		guess, _, _ := NewKey()
		path := []string{"/api/jobs", "/api/system/health"}[i%2]
		g.call(t, guess, "GET", path, "", from("2001:db8::"+strconv.Itoa(i))...).problem(401, "unauthorized")
	}
	guess, _, _ := NewKey()
	for _, path := range []string{"/api/jobs", "/api/system/health", "/docs", "/nowhere"} {
		g.call(t, guess, "GET", path, "", from("2001:db8::77")...).problem(429, "rate_limited")
	}
	g.call(t, "", "GET", "/livez", "", from("2001:db8::77")...).want(200)
	g.call(t, "", "GET", "/api/system/health", "", from("2001:db8::77")...).want(200)
	g.call(t, key, "GET", "/api/organization", "", from("2001:db8::77")...).want(200)
	g.call(t, guess, "GET", "/api/jobs", "", from("2001:db8:0:1::1")...).problem(401, "unauthorized")
	// A key that may not be used from there uses up nothing of its own.
	var bound newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"b","scopes":["read"],"rate_limit":1,"ip_allow":["198.51.100.1"]}`).want(201).json(&bound)
	for range 3 {
		g.call(t, bound.Key, "GET", "/api/organization", "", from("198.51.100.2")...).problem(403, "forbidden")
	}
	g.call(t, bound.Key, "GET", "/api/organization", "", from("198.51.100.1")...).want(200)
}

// Without trust in a proxy nobody chooses the address that he is counted by.
func TestSpoofedAddressIsNoHelp(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 5, time.Hour))
	for i := range 8 {
		r := g.call(t, "", "GET", "/docs", "", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "X-Real-IP", "203.0.113.9", "Forwarded", "for=203.0.113.9")
		if want := map[bool]int{true: 200, false: 429}[i < 5]; r.status != want {
			t.Errorf("request %d: %d", i, r.status)
		}
	}
}

// A body is not even read of who asks too often.
func TestLimitBeforeBody(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 1, time.Hour))
	_, key := g.organization(t)
	g.call(t, key, "GET", "/api/organization", "").want(200)
	g.call(t, key, "POST", "/api/jobs", strings.Repeat("x", maxBody+1)).problem(429, "rate_limited")
}

func TestRedisGoesWhileRequestsCome(t *testing.T) {
	t.Parallel()
	r := localstack.NewRedis(t)
	g := newRig(t, limited(t, r, 10, time.Hour))
	_, key := g.organization(t)
	ok := 0
	for i := range 15 {
		if i == 6 {
			if err := r.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		reply := g.call(t, key, "GET", "/api/organization", "")
		reply.left(10, time.Hour)
		if reply.status == 200 {
			ok++
		} else {
			reply.problem(429, "rate_limited")
		}
	}
	if ok != 10 {
		t.Errorf("%d let through, want 10", ok)
	}
	var v healthView
	g.call(t, testAdminKey, "GET", "/api/system/health", "").want(200).json(&v)
	if v.RateLimit == nil || v.RateLimit.State != "away" || v.RateLimit.Fallbacks < 9 {
		t.Errorf("health says %+v", v.RateLimit)
	}
}

func TestWithoutLimits(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for range 150 {
		g.call(t, key, "GET", "/api/organization", "").want(200).unlimited()
	}
	g.call(t, "", "GET", "/api/jobs", "").problem(401, "unauthorized")
	g.call(t, "", "GET", "/nowhere", "").unlimited()
}

func TestLimitsAreDocumented(t *testing.T) {
	t.Parallel()
	c, err := served()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range c.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			responses := op.(map[string]any)["responses"].(map[string]any)
			free := path == "/livez" || path == "/readyz" || path == "/api/health" || path == "/api/system/health"
			if _, ok := responses["429"]; ok == free {
				t.Errorf("%s %s documents 429: %v", method, path, ok)
			}
			for status, r := range responses {
				headers, _ := r.(map[string]any)["headers"].(map[string]any)
				for _, name := range limitNames {
					if _, ok := headers[name]; ok == free {
						t.Errorf("%s %s, %s documents %s: %v", method, path, status, name, ok)
					}
				}
				if _, ok := headers["Retry-After"]; status == "429" && !ok {
					t.Errorf("%s %s: 429 without Retry-After", method, path)
				}
			}
		}
	}
}
