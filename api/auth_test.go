package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

func TestKeyText(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		text, prefix, _ := NewKey()
		if len(text) != 53 || !wellFormedKey(text) || seen[text] || !strings.HasPrefix(text, prefix) || len(prefix) != 12 {
			t.Fatalf("key %q", text)
		}
		seen[text] = true
		for i := range len(text) {
			swapped := []byte(text)
			if swapped[i] = 'x'; text[i] == 'x' {
				swapped[i] = 'y'
			}
			if wellFormedKey(string(swapped)) {
				t.Fatalf("%q passes for %q", swapped, text)
			}
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	unknown, _, _ := NewKey()
	for _, given := range []string{"", "Bearer", "Bearer ", "Basic abc", "Bearer pay_x", "Bearer " + unknown, "Bearer " + unknown[:52] + "x",
		"Bearer " + testAdminKey + "x", testAdminKey} {
		r := g.call(t, "", "GET", "/api/jobs", "", "Authorization", given)
		r.problem(401, "unauthorized")
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: no challenge", given)
		}
	}
	g.call(t, "", "GET", "/api/jobs", "", "Authorization", "bearer "+testAdminKey).want(200)
}

func TestEveryRouteAsksForItsScope(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, link := g.reminded(t, org, "a@example.in")
	const id = "01a20280-8978-7941-82b6-27e3bdd15c47"
	named := strings.NewReplacer("{id}", id, "{delivery_id}", id, "{organization_id}", id, "{fingerprint}", "0123456789abcdef", "{name}", "mail")
	keys := map[scopes]string{}
	for i, name := range scopeNames {
		holder := key
		if name == "admin" || name == "admin_read" {
			holder = testAdminKey
		}
		keys[1<<i] = g.key(t, holder, name)
	}
	for _, rt := range g.routes() {
		if rt.scopes == public {
			if g.call(t, "", rt.method, strings.Replace(rt.path, "/unsubscribe/{ticket}", link, 1), "").status >= 400 {
				t.Errorf("%s %s is not public", rt.method, rt.path)
			}
			continue
		}
		path := named.Replace(rt.path)
		g.call(t, "", rt.method, path, "").problem(401, "unauthorized")
		for scope, k := range keys {
			if rt.path == "/api/admin/live" && scope&(rt.scopes|admin) != 0 {
				continue // it goes on for as long as somebody listens; its own tests do
			}
			r := g.call(t, k, rt.method, path, "")
			if scope&(rt.scopes|admin) == 0 {
				if p := r.problem(403, "forbidden"); !strings.Contains(p.Detail, rt.scopes.String()) {
					t.Errorf("%s: %q doesn't name %s", r.what, p.Detail, rt.scopes)
				}
			} else if r.status == 403 || r.status == 401 {
				t.Errorf("%s with %s: %d", r.what, scope, r.status)
			}
		}
	}
}

func TestKeyMakesNoKeyThatMayDoMore(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	weak := g.key(t, key, "write read")
	for _, scopes := range []string{`["jobs"]`, `["read","jobs"]`, `["admin"]`} {
		g.call(t, weak, "POST", "/api/api-keys", `{"name":"k","scopes":`+scopes+`}`).problem(403, "forbidden")
	}
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["admin"]}`).problem(403, "forbidden")
	g.call(t, testAdminKey, "POST", "/api/api-keys", `{"name":"k","scopes":["admin","admin"]}`).want(201)
}

func TestKeyLife(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	var k newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"CI","scopes":["read"],"rate_limit":5,"ip_allow":["127.0.0.1","2001:db8::/32"],"expires_at":"`+
		time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`).want(201).json(&k)
	if !wellFormedKey(k.Key) || k.Prefix != k.Key[:12] || *k.RateLimit != 5 || len(k.IPAllow) != 2 || k.ExpiresAt == nil {
		t.Errorf("made %+v", k)
	}
	g.call(t, k.Key, "GET", "/api/organization", "").want(200)
	eventually(t, func() bool {
		return g.count(t, `SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL AND id = '`+k.ID+`'`) == 1
	})
	r := g.call(t, key, "GET", "/api/api-keys", "").want(200)
	var list page[KeyView]
	r.json(&list)
	if len(list.Data) != 2 || list.Data[0].ID != k.ID || list.Data[0].LastUsedAt == nil || strings.Contains(string(r.body), k.Key) || strings.Contains(string(r.body), `"key"`) {
		t.Errorf("list %s", r.body)
	}
	if n := g.count(t, `SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%`+k.Key[12:]+`%'`); n != 0 {
		t.Error("the text of the key is in the database")
	}
	for range 2 {
		g.call(t, key, "DELETE", "/api/api-keys/"+k.ID, "").want(204)
	}
	g.call(t, k.Key, "GET", "/api/organization", "").problem(401, "unauthorized")
	g.call(t, key, "DELETE", "/api/api-keys/01a20280-8978-7941-82b6-27e3bdd15c47", "").problem(404, "not_found")
	g.call(t, key, "DELETE", "/api/api-keys/x", "").problem(404, "not_found")
	for body, pointer := range map[string]string{
		`{"scopes":["read"]}`:                                                "/name",
		`{"name":"","scopes":["read"]}`:                                      "/name",
		`{"name":"k","scopes":[]}`:                                           "/scopes",
		`{"name":"k","scopes":["everything"]}`:                               "/scopes/0",
		`{"name":"k","scopes":[{}]}`:                                         "/scopes/0",
		`{"name":"k","scopes":["read"],"rate_limit":0}`:                      "/rate_limit",
		`{"name":"k","scopes":["read"],"expires_at":"2001-01-01T00:00:00Z"}`: "/expires_at",
		`{"name":"k","scopes":["read"],"expires_at":"never"}`:                "/expires_at",
		`{"name":"k","scopes":["read"],"ip_allow":["1.2.3.4","home"]}`:       "/ip_allow/1",
		`{"name":"k","scopes":["read"],"Name":"x"}`:                          "/Name",
		`{"name":"a\u0000b","scopes":["read"]}`:                              "/name",
	} {
		if p := g.call(t, key, "POST", "/api/api-keys", body).problem(422, "validation_failed"); p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %v, want %s", body, p.Errors, pointer)
		}
	}
	_ = org
}

func TestKeyRunsOut(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	var k newKeyView
	until := time.Now().Add(1500 * time.Millisecond)
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"],"expires_at":"`+until.Format(time.RFC3339Nano)+`"}`).want(201).json(&k)
	g.call(t, k.Key, "GET", "/api/organization", "").want(200)
	eventually(t, func() bool { return g.call(t, k.Key, "GET", "/api/organization", "").status == 401 })
	if time.Now().Before(until) {
		t.Error("refused too early")
	}
}

func TestRevocationInAnotherProcessIsSeenSoon(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	g.call(t, key, "GET", "/api/organization", "").want(200)
	if _, err := g.system.Pool().Exec(t.Context(), `UPDATE api_keys SET revoked_at = now()`); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, func() bool { return g.call(t, key, "GET", "/api/organization", "").status == 401 })
	if took := time.Since(start); took > keyCacheTTL+10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAnswerOnItsWayDoesNotOutliveRevocation(t *testing.T) {
	t.Parallel()
	c, now := newKeyCache(), time.Now()
	hash := [32]byte{1}
	_, _, epoch := c.get(hash, now)
	c.revoked(hash)
	c.put(hash, &credential{}, epoch, now)
	if _, known, _ := c.get(hash, now); known {
		t.Error("a look-up that began before the revocation was kept")
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	t.Parallel()
	c, now := newKeyCache(), time.Now()
	for i := range 3 * keyCacheSize {
		c.put([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, nil, 0, now)
	}
	if len(c.entries) > keyCacheSize {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestAddressesOfAKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allow []string
		peer  string
		want  bool
	}{
		{nil, "203.0.113.9:1", true},
		{[]string{"203.0.113.0/24"}, "203.0.113.9:1", true},
		{[]string{"203.0.113.0/24"}, "203.0.114.9:1", false},
		{[]string{"203.0.113.9"}, "[::ffff:203.0.113.9]:1", true},
		{[]string{"2001:db8::1"}, "[2001:db8::1%eth0]:1", true},
		{[]string{"2001:db8::/32"}, "203.0.113.9:1", false},
		{[]string{"203.0.113.9"}, "@", false},
		{[]string{"nonsense"}, "203.0.113.9:1", false},
	} {
		if got := newCredential(store.Credential{IPAllow: c.allow}).allows(clientIP(&http.Request{RemoteAddr: c.peer}, nil)); got != c.want {
			t.Errorf("%v from %s: %v", c.allow, c.peer, got)
		}
	}
	g := newRig(t)
	_, key := g.organization(t)
	var k newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"],"ip_allow":["203.0.113.0/24"]}`).want(201).json(&k)
	g.call(t, k.Key, "GET", "/api/organization", "").problem(403, "forbidden")
}

// A peer that is no address at all, as on a Unix socket, doesn't get past an allow-list.
func TestServeOnUnixSocket(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	var k newKeyView
	g.call(t, key, "POST", "/api/api-keys", `{"name":"k","scopes":["read"],"ip_allow":["127.0.0.1"]}`).want(201).json(&k)
	path := t.TempDir() + "/api.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g.Handler()}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for text, want := range map[string]int{k.Key: 403, key: 200} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://api/api/organization", nil)
		req.Header.Set("Authorization", "Bearer "+text)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("got %d, want %d", resp.StatusCode, want)
		}
	}
	client.CloseIdleConnections()
}
