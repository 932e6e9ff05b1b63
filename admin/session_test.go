package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.browser()
	b.get("/admin/audit?action=job.retry").wants(http.StatusOK, "Admin key").lacks("Audit log")
	page := b.post("/admin/login", url.Values{"key": {" " + testAdminKey + "\n"}, "next": {"/admin/audit?action=job.retry"}}).wants(http.StatusOK, "Audit log")
	if got := page.url.RequestURI(); got != "/admin/audit?action=job.retry" {
		t.Errorf("after signing in one is at %s", got)
	}
	cookies := b.http.Jar.Cookies(page.url)
	b.post("/admin/logout", nil).wants(http.StatusOK, "Admin key")
	// A cookie that was kept is of no use either.
	b.http.Jar.SetCookies(page.url, cookies)
	b.get("/admin/audit").wants(http.StatusOK, "Your session has ended")
}

func TestSignInIsRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for name, key := range map[string]string{"a wrong key": "no-such-key-of-at-least-32-characters", "a key of a client": g.key("read", "write", "jobs"), "none": " "} {
		b := g.browser()
		p := b.post("/admin/login", url.Values{"key": {key}})
		if p.status != http.StatusUnauthorized && p.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d", name, p.status)
		}
		if len(b.http.Jar.Cookies(p.url)) > 0 {
			t.Errorf("%s gets a cookie", name)
		}
		if strings.TrimSpace(key) != "" && strings.Contains(p.body, key) {
			t.Errorf("%s is shown again", name)
		}
	}
}

func TestAttemptsToSignInAreBounded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.browser()
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Forwarded-For", address) }
	}
	try := func(key, address string) *shown {
		return b.do(http.MethodPost, "/admin/login", url.Values{"key": {key}}, from(address))
	}
	for range mostAttempts {
		try("wrong", "203.0.113.7").wants(http.StatusUnauthorized)
	}
	late := try(testAdminKey, "203.0.113.7").wants(http.StatusTooManyRequests, "Too many attempts")
	if late.header.Get("Retry-After") == "" {
		t.Error("nothing says when to try again")
	}
	try("wrong", "203.0.113.8").wants(http.StatusUnauthorized) // somebody else may
}

func TestTheCookieIsGuarded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, c := range []struct {
		proto  string
		secure bool
	}{{"https", true}, {"http", false}, {"", false}} {
		b := g.browser()
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := b.do(http.MethodPost, "/admin/login", url.Values{"key": {testAdminKey}}, func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", c.proto) })
		cookie := p.header.Get("Set-Cookie")
		for _, part := range []string{sessionCookie + "=", "Path=/admin", "HttpOnly", "SameSite=Strict"} {
			if !strings.Contains(cookie, part) {
				t.Errorf("the cookie %q lacks %s", cookie, part)
			}
		}
		if got := strings.Contains(cookie, "Secure"); got != c.secure {
			t.Errorf("by %q the cookie is secure: %t", c.proto, got)
		}
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"https://evil.example/admin/", "//evil.example/admin", `/\evil.example`, `/admin/\..\x`, "/admin/../api/jobs", "javascript:alert(1)",
		"/adminx", "/api/jobs", "admin", "/admin\r\nX: y", "http:/admin/x", "/admin/login?next=/admin/login", "///evil.example/admin/", "https:///admin/", "", "%"} {
		if got := nextOf(to); got != "/admin/" {
			t.Errorf("after signing in %q leads to %q", to, got)
		}
	}
	for _, to := range []string{"/admin/jobs", "/admin/jobs?status=failed&error=a+b", "/admin/chain/req_1"} {
		if got := nextOf(to); got != to {
			t.Errorf("after signing in %q leads to %q", to, got)
		}
	}
}

func TestWhoHasNotSignedInIsSentThere(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.browser()
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p := b.get("/admin/settings?x=1"); p.status != http.StatusSeeOther || p.header.Get("Location") != "/admin/login?next=%2Fadmin%2Fsettings%3Fx%3D1" {
		t.Errorf("a page: %d to %s", p.status, p.header.Get("Location"))
	}
	p := b.do(http.MethodPost, "/admin/settings", url.Values{"theme": {"dark"}}, func(r *http.Request) { r.Header.Set("Referer", g.url+"/admin/audit") })
	if p.status != http.StatusSeeOther || p.header.Get("Location") != "/admin/login?next=%2Fadmin%2Faudit" || p.header.Get("Set-Cookie") != "" {
		t.Errorf("a form: %d to %s", p.status, p.header.Get("Location"))
	}
	p = b.do(http.MethodGet, "/admin/audit", nil, func(r *http.Request) { r.Header.Set("HX-Request", "true") })
	if p.status != http.StatusUnauthorized || !strings.HasPrefix(p.header.Get("HX-Redirect"), "/admin/login?next=") {
		t.Errorf("htmx: %d to %s", p.status, p.header.Get("HX-Redirect"))
	}
}

func TestOtherSitesCannotPost(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.admin()
	for name, header := range map[string][2]string{
		"another origin": {"Origin", "https://evil.example"}, "an origin that is hidden": {"Origin", "null"},
		"another site": {"Sec-Fetch-Site", "cross-site"}, "another name of the site": {"Sec-Fetch-Site", "same-site"},
	} {
		p := b.do(http.MethodPost, "/admin/logout", url.Values{}, func(r *http.Request) { r.Header.Set(header[0], header[1]) })
		p.wants(http.StatusForbidden, "came from another site")
		if strings.Contains(p.body, "Sign out") {
			t.Errorf("%s is shown a page of who has signed in", name)
		}
	}
	b.get("/admin/settings").wants(http.StatusOK, "Theme") // still signed in
	// Browsers name themselves; what doesn't is no browser, and has no cookie to abuse.
	b.do(http.MethodPost, "/admin/logout", url.Values{}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }).wants(http.StatusOK, "Admin key")
}

func TestPagesThatAreNot(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.admin()
	b.get("/admin/nothing/here").wants(http.StatusNotFound, "There is no such page")
	b.post("/admin/audit", nil).wants(http.StatusMethodNotAllowed)
	p := b.get("/admin/settings").wants(http.StatusOK)
	if got := p.header.Get("Content-Security-Policy"); got != policy {
		t.Errorf("the policy of a page is %q", got)
	}
	if got := p.header.Get("X-Frame-Options"); got != "DENY" {
		t.Errorf("X-Frame-Options is %q", got)
	}
}

func TestTheThemeIsKnownBeforeThePageIsDrawn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.admin()
	if p := b.get("/admin/settings"); !strings.Contains(p.body, `data-theme="system"`) {
		t.Error("at first the theme is not the system's")
	}
	p := b.post("/admin/settings", url.Values{"theme": {"dark"}, "back": {"/admin/audit"}}).wants(http.StatusOK, "Audit log")
	if !strings.Contains(p.body, `<html lang="en" data-theme="dark">`) {
		t.Error("the theme that was chosen is not used")
	}
	b.post("/admin/settings", url.Values{"theme": {`"><script>`}})
	if p := b.get("/admin/settings"); !strings.Contains(p.body, `data-theme="dark"`) {
		t.Error("an unknown theme replaces the chosen one")
	}
	if p := b.post("/admin/settings", url.Values{"theme": {"light"}, "back": {"https://evil.example/"}}); p.url.Host != strings.TrimPrefix(g.url, "http://") {
		t.Errorf("a form leads to %s", p.url)
	}
}
