package admin

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

const testAdminKey = "an-admin-key-of-at-least-32-characters"

// rig is a running installation's API with its pages, on a migrated database of its own.
type rig struct {
	t      *testing.T
	url    string
	api    *api.Server
	system *store.DB // the eyes and hands of a worker
}

func newRig(t *testing.T, change ...func(*api.Config)) *rig {
	t.Helper()
	pg, from := localstack.TestTemplate(t, migrations.Up)
	dbURL := pg.URL(pg.NewDatabase(t, from))
	open := func(role store.Role) *store.DB {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: dbURL, Role: role, Name: "admin-test", MaxConns: 10, AcquireWait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		return db
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := api.Config{DB: open(store.App), Hints: noHints{}, AdminKey: testAdminKey, Version: "test", Log: log,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Tickets:        ticket.NewMaker(func(context.Context) ([]byte, error) { return []byte("a key of thirty-two characters.."), nil })}
	for _, f := range change {
		f(&c)
	}
	s, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := New(Config{API: s, Version: "test", TrustedProxies: c.TrustedProxies, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.Pages(pages)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	return &rig{t: t, url: server.URL, api: s, system: open(store.System)}
}

// noHints loses every hint.
type noHints struct{}

func (noHints) OutboxChanged()                       {}
func (noHints) JobChanged(string)                    {}
func (noHints) Jobs() (<-chan struct{}, func())      { return nil, func() {} }
func (noHints) Job(string) (<-chan struct{}, func()) { return nil, func() {} }

// A browser keeps cookies and follows redirects.
type browser struct {
	*rig
	http *http.Client
}

func (g *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return &browser{g, &http.Client{Jar: jar}}
}

// signedIn is a browser of who holds that key.
func (g *rig) signedIn(key string) *browser {
	g.t.Helper()
	b := g.browser()
	b.post("/admin/login", url.Values{"key": {key}, "next": {"/admin/settings"}}).wants(http.StatusOK)
	return b
}

// admin is a browser of who may do everything.
func (g *rig) admin() *browser { return g.signedIn(testAdminKey) }

// readOnly is a browser of who may look and change nothing.
func (g *rig) readOnly() *browser { return g.signedIn(g.key("admin_read")) }

// key makes a key of the operator's.
func (g *rig) key(scopes ...string) string {
	g.t.Helper()
	return g.keyNamed("made by a test", scopes...)
}

func (g *rig) keyNamed(name string, scopes ...string) string {
	g.t.Helper()
	var made struct {
		Key string `json:"key"`
	}
	err := (&client{g.url, testAdminKey}).do(g.t.Context(), http.MethodPost, "/api/api-keys", map[string]any{"name": name, "scopes": scopes}, &made)
	if err != nil {
		g.t.Fatal(err)
	}
	return made.Key
}

// A page is an answer that was read.
type shown struct {
	t      *testing.T
	status int
	url    *url.URL // where redirects led
	header http.Header
	body   string
}

func (b *browser) get(path string) *shown { b.t.Helper(); return b.do(http.MethodGet, path, nil) }

// post sends a form and follows the redirect.
func (b *browser) post(path string, form url.Values) *shown {
	b.t.Helper()
	return b.do(http.MethodPost, path, form)
}

func (b *browser) do(method, path string, form url.Values, change ...func(*http.Request)) *shown {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(r)
	}
	answer, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &shown{b.t, answer.StatusCode, answer.Request.URL, answer.Header, string(data)}
}

// wants checks the status and what stands on the page, as a reader sees it.
func (p *shown) wants(status int, texts ...string) *shown {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("%s: status %d, want %d\n%s", p.url.Path, p.status, status, p.text())
	}
	seen := p.text()
	for _, text := range texts {
		if !strings.Contains(seen, text) {
			p.t.Errorf("%s does not say %q\n%s", p.url.Path, text, seen)
		}
	}
	return p
}

// lacks checks that something does not stand on the page.
func (p *shown) lacks(texts ...string) *shown {
	p.t.Helper()
	seen := p.text()
	for _, text := range texts {
		if strings.Contains(seen, text) {
			p.t.Errorf("%s says %q", p.url.Path, text)
		}
	}
	return p
}

func (p *shown) parsed() *html.Node {
	p.t.Helper()
	n, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// text is what a reader of the page sees, with single spaces.
func (p *shown) text() string {
	var b strings.Builder
	for n := range p.parsed().Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// hostile is what data of tenants and of the internet may look like. Every part of it would leave a mark if a browser
// took it for more than text.
const hostile = `"><script>boom()</script><img src=x onerror=boom()><a href="javascript:boom()" data-boom='1'>boom</a>{{boom}}</textarea></title>`

// inert checks that nothing of the hostile text became an element or an attribute, and that it stands there as text.
func (p *shown) inert() *shown {
	p.t.Helper()
	if !strings.Contains(p.text(), "boom()") {
		p.t.Errorf("%s does not show the hostile text, so nothing was tried", p.url.Path)
	}
	for n := range p.parsed().Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if strings.Contains(a.Key, "boom") || strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.Contains(strings.ToLower(a.Val), "javascript:boom") && (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") {
				p.t.Errorf("%s: <%s> has the attribute %s=%q", p.url.Path, n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "script" && n.FirstChild != nil {
			p.t.Errorf("%s has a script of its own: %s", p.url.Path, n.FirstChild.Data)
		}
		if n.Data == "img" {
			p.t.Errorf("%s shows an image that nobody meant: %v", p.url.Path, n.Attr)
		}
	}
	return p
}

// link is where the link with that text leads, "" if there is none.
func (p *shown) link(text string) string {
	for n := range p.parsed().Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" || n.FirstChild == nil || n.FirstChild.Data != text {
			continue
		}
		for _, a := range n.Attr {
			if a.Key == "href" {
				return a.Val
			}
		}
	}
	return ""
}
