package api

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/internal/store"
)

// When every connection is in use requests are told so in time, and health answers.
func TestPoolIsExhausted(t *testing.T) {
	t.Parallel()
	const most, wait = 3, 500 * time.Millisecond
	g := newRig(t, func(c *Config) {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: c.DB.Pool().Config().ConnString(), Role: store.App,
			MaxConns: most, Base: 2, AcquireWait: wait})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		c.DB = db
		c.Checks = []Check{{Name: "postgres", Required: true, Probe: func(ctx context.Context) (string, error) { return "", db.Ready(ctx) }}}
	})
	_, key := g.organization(t)
	g.submit(t, key, aCompletion)
	var held []*pgxpool.Conn
	for range most {
		conn, err := g.DB.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	stranger, _, _ := NewKey()
	for _, c := range []struct{ key, method, path, body string }{
		{key, "POST", "/api/jobs", aCompletion}, {key, "GET", "/api/jobs", ""}, {stranger, "GET", "/api/jobs", ""},
		{key, "GET", "/api/contacts", ""}, {key, "GET", "/api/jobs/01a20280-8978-7941-82b6-27e3bdd15c47/events", ""},
	} {
		began := time.Now()
		r := g.call(t, c.key, c.method, c.path, c.body)
		r.problem(503, "unavailable")
		if after, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("%s: Retry-After %q", r.what, r.header.Get("Retry-After"))
		}
		if took := time.Since(began); took > wait+5*time.Second {
			t.Errorf("%s: refused after %s", r.what, took)
		}
	}
	g.call(t, "", "GET", "/livez", "").want(200)
	g.call(t, "", "GET", "/readyz", "").problem(503, "not_ready")
	p := g.call(t, testAdminKey, "GET", "/api/system/health", "").problem(503, "not_ready")
	if p.Pool == nil || p.Pool.Size != 2 || p.Pool.Overflow != 1 || p.Pool.InUse != most || p.Pool.BurstInUse != 1 || p.Pool.Timeouts < 5 {
		t.Errorf("pool %+v", p.Pool)
	}
	if p := g.call(t, "", "GET", "/api/system/health", "").problem(503, "not_ready"); p.Pool != nil {
		t.Errorf("a stranger reads %+v", p.Pool)
	}
	for _, conn := range held {
		conn.Release()
	}
	g.submit(t, key, aCompletion)
	var v healthView
	eventually(t, func() bool { return g.call(t, "", "GET", "/api/system/health", "").status == 200 })
	g.call(t, testAdminKey, "GET", "/api/system/health", "").want(200).json(&v)
	if v.Pool == nil || v.Pool.BurstInUse != 0 || v.RateLimit != nil {
		t.Errorf("health says %+v, %+v", v.Pool, v.RateLimit)
	}
}

// What the database takes long for is logged with the request that it was for, and nothing of the tenant's.
func TestSlowQueryNamesItsRequest(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	g := newRig(t, func(c *Config) {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: c.DB.Pool().Config().ConnString(), Role: store.App, MaxConns: 3,
			Log: slog.New(slog.NewJSONHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		c.DB = db
	})
	org, key := g.organization(t)
	g.call(t, key, "GET", "/api/jobs", "").want(200)
	locked, err := g.system.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = locked.Rollback(context.Background()) }()
	if _, err := locked.Exec(t.Context(), `LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	answered := make(chan *reply, 1)
	go func() {
		answered <- g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"of the tenant"}}`,
			"X-Request-ID", "find-me", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	}()
	const waiting = `SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted AND waitstart < clock_timestamp() - interval '120 milliseconds'`
	eventually(t, func() bool { return g.count(t, waiting) == 1 })
	if err := locked.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	(<-answered).want(202)
	var line string
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, `"slow query"`) && strings.Contains(l, "find-me") {
			line = l
		}
	}
	for _, part := range []string{`"route":"POST /api/jobs"`, `"request_id":"find-me"`, `"trace_id":"` + trace + `"`, `INSERT INTO jobs`, `"level":"WARN"`} {
		if !strings.Contains(line, part) {
			t.Errorf("%q lacks %s", line, part)
		}
	}
	for _, secret := range []string{"of the tenant", key, org} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q: %s", secret, log.String())
		}
	}
}
