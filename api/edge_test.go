package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

func TestRoutesThatAreNot(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for _, path := range []string{"/docs/x", "/api", "/api/jobs/", "/api/job", "/apix", "/api/jobs/x/y/z", "/favicon.ico"} {
		g.call(t, key, "GET", path, "").problem(404, "not_found")
		g.call(t, "", "POST", path, `{}`).problem(404, "not_found")
	}
	for path, allow := range map[string]string{"/api/jobs": "GET, HEAD, POST", "/api/jobs/x/cancel": "POST", "/livez": "GET, HEAD", "/api/api-keys/x": "DELETE"} {
		r := g.call(t, key, "PUT", path, `{}`)
		r.problem(405, "method_not_allowed")
		if got := r.header.Get("Allow"); got != allow {
			t.Errorf("%s allows %q, want %q", path, got, allow)
		}
	}
	for _, id := range []string{"x", "01a20280-8978-7941-82b6", "01a2028089787941-82b6-27e3bdd15c470000", "01a20280-8978-7941-82b6-27e3bdd15c47", "%00", "%ff"} {
		for _, suffix := range []string{"", "/events"} {
			g.call(t, key, "GET", "/api/jobs/"+id+suffix, "").problem(404, "not_found")
		}
		g.call(t, key, "POST", "/api/jobs/"+id+"/cancel", "").problem(404, "not_found")
		g.call(t, key, "POST", "/api/jobs/"+id+"/retry", "").problem(404, "not_found")
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	sized := func(n int) string {
		frame := `{"kind":"ai.completion","input":{"prompt":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", n-len(frame))+`"`, 1)
	}
	g.call(t, key, "POST", "/api/jobs", sized(maxBody)).want(202)
	g.call(t, key, "POST", "/api/jobs", sized(maxBody+1)).problem(413, "body_too_large")
	g.call(t, key, "POST", "/api/api-keys", sized(maxBody+1)).problem(413, "body_too_large")

	// Without a length in front it is found out on the way.
	req, _ := http.NewRequestWithContext(t.Context(), "POST", g.url+"/api/jobs", struct{ io.Reader }{strings.NewReader(sized(maxBody + 1))})
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunked: got %d", resp.StatusCode)
	}
	for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/merge-patch+json", "nonsense/", "application/cbor"} {
		for _, path := range []string{"/api/jobs", "/api/api-keys"} {
			g.call(t, key, "POST", path, aCompletion, "Content-Type", ct).problem(415, "unsupported_media_type")
		}
	}
	for _, ct := range []string{"application/json; charset=UTF-8", "", "Application/JSON"} {
		g.call(t, key, "POST", "/api/jobs", aCompletion, "Content-Type", ct).want(202)
		g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"]}`, "Content-Type", ct).want(201)
	}
	for _, body := range []string{"", "  ", "{", "{}x", "\xff", `{"name":"` + "\xff" + `"}`} {
		g.call(t, key, "POST", "/api/api-keys", body).problem(400, "invalid_json")
	}
	g.call(t, key, "POST", "/api/api-keys", `[]`).problem(422, "validation_failed", "")
	g.call(t, key, "POST", "/api/api-keys", `null`).problem(422, "validation_failed", "")
}

// A body that is looked at for longer than its deadline allows to send it doesn't end the request.
func TestDeadlineOfBodyEndsWithBody(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	x := &exchange{ResponseWriter: w}
	if _, err := readBody(x, httptest.NewRequest("POST", "/", strings.NewReader("{}"))); err != nil {
		t.Fatal(err)
	}
	if len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
		t.Errorf("deadlines %v", w.set)
	}
}

type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) Flush() {}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestPanicIsOneOfOurs(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	g := newRig(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Kinds = append(c.Kinds, Kind{Name: "x.panic", Queue: "x", Scope: "jobs", MaxAttempts: 1,
			Check: func(json.RawMessage) []Fault { panic("the secret of the house") }})
	})
	_, key := g.organization(t)
	r := g.call(t, key, "POST", "/api/jobs", `{"kind":"x.panic","input":{"p":"private"}}`, "X-Request-ID", "find-me")
	r.problem(500, "internal")
	if strings.Contains(string(r.body), "secret") {
		t.Errorf("the client reads %s", r.body)
	}
	if l := log.String(); !strings.Contains(l, "find-me") || !strings.Contains(l, "the secret of the house") || strings.Contains(l, "private") || strings.Contains(l, key) {
		t.Errorf("log %s", l)
	}
	g.submit(t, key, aCompletion)
}

func TestPostgresDown(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	const name = "down"
	if err := pg.CreateDatabase(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: pg.URL(name), Role: store.App, MaxConns: 2, AcquireWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	g := newRig(t, func(c *Config) {
		c.DB = db
		c.Checks = []Check{{Name: "postgres", Required: true, Probe: func(ctx context.Context) (string, error) { return "fine", db.Ping(ctx) }}}
	})
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger, _, _ := NewKey()
	for _, c := range []struct{ key, method, path, body string }{
		{stranger, "GET", "/api/jobs", ""}, {testAdminKey, "GET", "/api/jobs", ""}, {testAdminKey, "POST", "/api/jobs", aCompletion},
		{testAdminKey, "GET", "/api/organization", ""}, {testAdminKey, "GET", "/api/jobs/01a20280-8978-7941-82b6-27e3bdd15c47/events", ""},
	} {
		r := g.call(t, c.key, c.method, c.path, c.body)
		r.problem(503, "unavailable")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", r.what)
		}
	}
	g.call(t, "", "GET", "/livez", "").want(200)
	g.call(t, "", "GET", "/readyz", "").problem(503, "not_ready")
	g.call(t, "", "GET", "/api/health", "").problem(503, "not_ready")
	if p := g.call(t, stranger, "GET", "/api/system/health", "").problem(503, "not_ready"); p.Checks != nil {
		t.Errorf("a stranger reads %+v", p.Checks)
	}
	if p := g.call(t, testAdminKey, "GET", "/api/system/health", "").problem(503, "not_ready"); len(p.Checks) != 1 || p.Checks[0].OK {
		t.Errorf("checks %+v", p.Checks)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var redis error
	rounds := 0
	g := newRig(t, func(c *Config) {
		c.Checks = []Check{
			{Name: "postgres", Required: true, Probe: func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				rounds++
				return "15.1", nil
			}},
			{Name: "redis", Probe: func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				return "", redis
			}},
		}
	})
	_, key := g.organization(t)
	for range 20 {
		g.call(t, "", "GET", "/readyz", "").want(200)
	}
	mu.Lock()
	if rounds > 10 {
		t.Errorf("%d rounds of checks for 20 probes", rounds)
	}
	redis = errors.New("dial: refused")
	mu.Unlock()
	var v healthView
	eventually(t, func() bool {
		g.call(t, testAdminKey, "GET", "/api/system/health", "").want(200).json(&v)
		return v.Status == "degraded"
	})
	if len(v.Checks) != 2 || v.Checks[1].Detail != "dial: refused" || v.Version != "test" {
		t.Errorf("got %+v", v)
	}
	for _, who := range []string{"", key} {
		if r := g.call(t, who, "GET", "/api/system/health", "").want(200); string(bytes.TrimSpace(r.body)) != `{"status":"degraded"}` {
			t.Errorf("others read %s", r.body)
		}
	}
	g.call(t, key+"x", "GET", "/api/system/health", "").problem(401, "unauthorized")
	g.call(t, "", "GET", "/readyz", "").want(200)
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var openAPI, asyncAPI map[string]any
	g.call(t, "", "GET", "/openapi.json", "").want(200).json(&openAPI)
	g.call(t, "", "GET", "/asyncapi.json", "").want(200).json(&asyncAPI)
	if openAPI["openapi"] != "3.1.0" || asyncAPI["asyncapi"] != "3.0.0" {
		t.Errorf("versions %v and %v", openAPI["openapi"], asyncAPI["asyncapi"])
	}
	r := g.call(t, "", "GET", "/docs", "").want(200)
	page := regexp.MustCompile(`https://[a-z.]+[.]example/`).ReplaceAllString(string(r.body), "/") // in examples of data
	if ct := r.header.Get("Content-Type"); ct != "text/html; charset=utf-8" {
		t.Errorf("content type %s", ct)
	}
	for _, foreign := range []string{"<script", "<style", "style=", " onclick", "http://", "https://", "@import"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two ids %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("link to #%s leads nowhere", m[1])
		}
	}
	for name := range codes {
		if !ids[name] {
			t.Errorf("the problem %s is not explained", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="(/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		g.call(t, "", "GET", m[1], "").want(200)
	}
	if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "style-src 'self'") {
		t.Errorf("policy %s", csp)
	}
}

// A write is finished when its client hangs up in the middle.
func TestHangUpDoesNotUndo(t *testing.T) {
	t.Parallel()
	g := newRig(t)
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
	ctx, hangUp := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", g.url+"/api/jobs", strings.NewReader(aCompletion))
	req.Header.Set("Authorization", "Bearer "+key)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := g.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	const waiting = `SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted`
	eventually(t, func() bool { return g.count(t, waiting) == 1 })
	hangUp()
	<-gone
	if err := locked.Commit(t.Context()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		t.Fatal(err)
	}
	eventually(t, func() bool { return g.count(t, `SELECT count(*) FROM jobs WHERE organization_id = '`+org+`'`) == 1 })
}

// A server that hangs and is not required doesn't keep those waiting who ask whether the service is well.
func TestHealthWaitsForNobodyBeside(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Checks = []Check{
			{Name: "postgres", Required: true, Probe: func(context.Context) (string, error) { return "", nil }},
			{Name: "redis", Probe: func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}},
		}
	})
	began := time.Now()
	if r := g.call(t, "", "GET", "/readyz", "").want(200); string(bytes.TrimSpace(r.body)) != `{"status":"degraded"}` {
		t.Errorf("got %s", r.body)
	}
	if took := time.Since(began); took > 2*besideTimeout {
		t.Errorf("it took %s", took)
	}
}
