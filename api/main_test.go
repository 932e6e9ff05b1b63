package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(recorded{m})) }

const testAdminKey = "an-admin-key-of-at-least-32-characters"

// rig is a running API on a migrated database of its own.
type rig struct {
	*Server
	url    string
	dbURL  string
	system *store.DB // the eyes and hands of a worker
	hints  *localHints
	http   *http.Client
}

// migrated is a migrated database that each test copies.
func migrated(t testing.TB) (*localstack.Postgres, string) {
	t.Helper()
	return localstack.TestTemplate(t, migrations.Up)
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	pg, from := migrated(t)
	g := &rig{dbURL: pg.URL(pg.NewDatabase(t, from)), hints: newLocalHints()}
	open := func(role store.Role) *store.DB {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: g.dbURL, Role: role, Name: "api-test", MaxConns: 10, AcquireWait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		return db
	}
	g.system = open(store.System)
	c := Config{DB: open(store.App), Kinds: testKinds(), Hints: g.hints, AdminKey: testAdminKey, Version: "test",
		Tickets: ticket.NewMaker(func(context.Context) ([]byte, error) { return []byte("a key of thirty-two characters.."), nil }),
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = s
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	g.url, g.http = server.URL, server.Client()
	g.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return g
}

func testKinds() []Kind {
	prompt := func(input json.RawMessage) []Fault {
		var in map[string]json.RawMessage
		if json.Unmarshal(input, &in) != nil {
			return []Fault{{"", "must be an object"}}
		}
		var faults []Fault
		if _, ok := in["prompt"]; !ok {
			faults = append(faults, Fault{"/prompt", "is required"})
		}
		for name := range in {
			if name != "prompt" && name != "n" {
				faults = append(faults, Fault{"/" + name, "is unknown"})
			}
		}
		return faults
	}
	return []Kind{
		{Name: "ai.completion", Queue: "ai", Scope: "jobs", Share: 1000, MaxAttempts: 3, Check: prompt,
			Schema:  json.RawMessage(`{"type":"object","properties":{"prompt":{"type":"string"},"n":{}},"required":["prompt"]}`),
			Summary: "Answers.", Notes: "Waits.", Codes: []JobCode{{"too_long", 422, "It was too long."}},
			Output: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`)},
		{Name: "mail.send", Queue: "mail", Scope: "jobs", Share: 3, MaxAttempts: 5},
		{Name: "db.backup", Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2},
	}
}

// localHints carries hints within the process, as NATS does between processes.
type localHints struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
	outbox  int
	jobs    []string
	deaf    bool // loses every hint
}

func newLocalHints() *localHints {
	return &localHints{waiting: make(map[string]map[chan struct{}]struct{})}
}

func (h *localHints) OutboxChanged() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outbox++
}

func (h *localHints) JobChanged(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.jobs = append(h.jobs, id)
	if h.deaf {
		return
	}
	for _, of := range []string{id, anyJob} {
		for ch := range h.waiting[of] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

const anyJob = "*"

func (h *localHints) Jobs() (<-chan struct{}, func()) { return h.Job(anyJob) }

func (h *localHints) Job(id string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[id] == nil {
		h.waiting[id] = make(map[chan struct{}]struct{})
	}
	h.waiting[id][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting[id], ch)
	}
}

// listeners waits until that many listen for a job.
func (h *localHints) listeners(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting[id])
}

// reply is an answer that has been read.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// call sends a request with a JSON body, "" for none, as the holder of a key, "" for a stranger. Every
// answer is held against the promises that all answers keep.
func (g *rig) call(t testing.TB, key, method, path, body string, headers ...string) *reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := &reply{t: t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: b}
	r.keepsPromises(g, method, path)
	return r
}

func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: got %d %s, want %d", r.what, r.status, r.body, status)
	}
	return r
}

// problem wants a problem with a code, and gives it.
func (r *reply) problem(status int, code string, pointers ...string) problem {
	r.t.Helper()
	r.want(status)
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		r.t.Fatalf("%s: %s: %v", r.what, r.body, err)
	}
	if p.Code != code {
		r.t.Fatalf("%s: got code %s (%s), want %s", r.what, p.Code, p.Detail, code)
	}
	var got []string
	for _, f := range p.Errors {
		got = append(got, f.Pointer)
	}
	if len(pointers) > 0 && strings.Join(got, " ") != strings.Join(pointers, " ") {
		r.t.Fatalf("%s: got faults %v, want %v", r.what, p.Errors, pointers)
	}
	return p
}

func (r *reply) json(into any) *reply {
	r.t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		r.t.Fatalf("%s: %s: %v", r.what, r.body, err)
	}
	return r
}

func (r *reply) job() jobView {
	r.t.Helper()
	var v jobView
	r.json(&v)
	return v
}

// organization makes an organization and gives its id and first key.
func (g *rig) organization(t testing.TB) (id, key string) {
	t.Helper()
	var o newOrganization
	g.call(t, testAdminKey, "POST", "/api/organizations", `{"name":"Acme","state":"Karnataka"}`).want(201).json(&o)
	return o.ID, o.APIKey.Key
}

// key makes a key with scopes for the holder of another.
func (g *rig) key(t testing.TB, holder, scopes string) string {
	t.Helper()
	var k newKeyView
	g.call(t, holder, "POST", "/api/api-keys", `{"name":"k","scopes":["`+strings.ReplaceAll(scopes, " ", `","`)+`"]}`).want(201).json(&k)
	return k.Key
}

const aCompletion = `{"kind":"ai.completion","input":{"prompt":"hello"}}`

func (g *rig) submit(t testing.TB, key, body string, headers ...string) jobView {
	t.Helper()
	return g.call(t, key, "POST", "/api/jobs", body, headers...).want(202).job()
}
