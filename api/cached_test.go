package api

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

// withCache gives a rig a cache that waits for a busy machine.
func withCache(t testing.TB, url string) func(*Config) {
	return withCacheOf(t, cachetag.Options{URL: url, ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second})
}

func withCacheOf(t testing.TB, o cachetag.Options) func(*Config) {
	return func(c *Config) {
		cache, err := cachetag.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cache.Close() })
		c.Cache = cache
	}
}

// twin is another process on the same database.
func (g *rig) twin(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: g.dbURL, Role: store.App, Name: "api-twin", MaxConns: 10, AcquireWait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	c := g.Config
	c.DB = db
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	return &rig{Server: s, url: server.URL, dbURL: g.dbURL, system: g.system, hints: g.hints, http: server.Client()}
}

// from wants an answer to come from somewhere.
func (r *reply) from(outcome cachetag.Outcome) *reply {
	r.t.Helper()
	if got := r.header.Get("X-Cache"); r.status < 400 && got != string(outcome) {
		r.t.Errorf("%s: X-Cache is %q, want %q", r.what, got, outcome)
	}
	return r
}

func TestOrganizationIsCached(t *testing.T) {
	t.Parallel()
	g := newRig(t, withCache(t, localstack.TestRedis(t).URL()))
	_, key := g.organization(t)
	_, stranger := g.organization(t)
	get := func(headers ...string) *reply { return g.call(t, key, "GET", "/api/organization", "", headers...) }

	fresh := get().want(200).from(cachetag.Miss)
	hit := get().want(200).from(cachetag.Hit)
	if string(hit.body) != string(fresh.body) || hit.header.Get("ETag") != fresh.header.Get("ETag") || hit.header.Get("Cache-Control") != revalidate {
		t.Errorf("a hit differs:\n%s %v\n%s %v", fresh.body, fresh.header, hit.body, hit.header)
	}
	if not := get("If-None-Match", hit.header.Get("ETag")).want(304).from(cachetag.Hit); len(not.body) > 0 {
		t.Errorf("304 with a body: %s", not.body)
	}
	other := g.call(t, stranger, "GET", "/api/organization", "").want(200).from(cachetag.Miss)
	if string(other.body) == string(hit.body) {
		t.Errorf("another organization reads %s", other.body)
	}
	changed := g.call(t, key, "PATCH", "/api/organization", `{"name":"New"}`, "If-Match", hit.header.Get("ETag")).want(200)
	again := get("If-None-Match", hit.header.Get("ETag")).want(200).from(cachetag.Miss)
	if string(again.body) != string(changed.body) || again.header.Get("ETag") != changed.header.Get("ETag") {
		t.Errorf("after the change: %s, want %s", again.body, changed.body)
	}
	g.call(t, stranger, "GET", "/api/organization", "").want(200).from(cachetag.Hit)
	// A change that changes nothing makes nothing void.
	g.call(t, key, "PATCH", "/api/organization", `{"name":"New"}`).want(200)
	get().want(200).from(cachetag.Hit)
	// The key of another scope reads the same; one that may not read reads nothing.
	g.call(t, g.key(t, key, "read"), "GET", "/api/organization", "").want(200).from(cachetag.Hit)
	g.call(t, g.key(t, key, "jobs"), "GET", "/api/organization", "").problem(403, "forbidden")
}

func TestWithoutACache(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for range 2 {
		g.call(t, key, "GET", "/api/organization", "").want(200).from(cachetag.Bypass)
	}
}

// Many clients change things through one process and read through the other, and each sees its change.
func TestClientsReadTheirOwnWrites(t *testing.T) {
	t.Parallel()
	redis := localstack.TestRedis(t).URL()
	g := newRig(t, withCache(t, redis))
	other := g.twin(t, withCache(t, redis))
	_, key := g.organization(t)
	var wg sync.WaitGroup
	for _, r := range []*rig{g, other} {
		for range 2 { // who read all the time, so that there is always something to be stale
			wg.Go(func() {
				for range 60 {
					r.call(t, key, "GET", "/api/organization", "").want(200)
				}
			})
		}
	}
	for i := range 20 {
		writer, reader := g, other
		if i%2 == 0 {
			writer, reader = other, g
		}
		tag := writer.call(t, key, "PATCH", "/api/organization", `{"name":"`+strings.Repeat("n", i+1)+`"}`).want(200).header.Get("ETag")
		for _, r := range []*rig{reader, writer} {
			if got := r.call(t, key, "GET", "/api/organization", "").want(200); got.header.Get("ETag") != tag {
				t.Errorf("change %d: read version %s (%s), want %s", i, got.header.Get("ETag"), got.header.Get("X-Cache"), tag)
			}
		}
	}
	wg.Wait()
}

// Redis is killed, is away for a while, and comes back, under load: no client notices but by X-Cache.
func TestRedisDiesUnderLoad(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	gate := localstack.NewGate(t, address.Host)
	address.Host = gate.Addr()
	g := newRig(t, withCacheOf(t, cachetag.Options{URL: address.String()}))
	other := g.twin(t, withCacheOf(t, cachetag.Options{URL: address.String()}))
	_, key := g.organization(t)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, r := range []*rig{g, other} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.call(t, key, "GET", "/api/organization", "").want(200)
				}
			}
		})
	}
	// In each phase writes are read back at once, where they were written.
	names := 0
	readBack := func(r *rig) *reply {
		names++
		tag := r.call(t, key, "PATCH", "/api/organization", `{"name":"`+strings.Repeat("n", names)+`"}`).want(200).header.Get("ETag")
		got := r.call(t, key, "GET", "/api/organization", "").want(200)
		if got.header.Get("ETag") != tag {
			t.Errorf("read version %s (%s), want %s", got.header.Get("ETag"), got.header.Get("X-Cache"), tag)
		}
		return got
	}
	hits := func() {
		for _, r := range []*rig{g, other} {
			r.until(t, cachetag.Hit, key)
		}
	}
	hits()
	readBack(g)
	gate.Shut()
	for range 20 {
		readBack(g).from(cachetag.Bypass)
		readBack(other).from(cachetag.Bypass)
	}
	server.Kill() // -9; it comes back empty
	if err := server.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	for range 20 {
		readBack(g)
	}
	hits()
	server.Kill() // with connections open and requests under way
	for range 20 {
		readBack(g)
	}
	hits()
	gate.Hang()
	for range 10 {
		readBack(g)
	}
	gate.Open()
	hits()
	close(stop)
	wg.Wait()
	readBack(g)
	readBack(other)
}

// until reads until the answer comes from somewhere.
func (g *rig) until(t testing.TB, outcome cachetag.Outcome, key string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if g.call(t, key, "GET", "/api/organization", "").want(200).header.Get("X-Cache") == string(outcome) {
			return
		}
	}
	t.Fatalf("no %s in 30 s", outcome)
}
