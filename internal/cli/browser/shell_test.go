package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestShell uses what all pages have in common, on one installation.
func TestShell(t *testing.T) {
	t.Parallel()
	s := start(t)
	t.Run("keys", s.keys)
	t.Run("live", s.live)
	t.Run("themes", s.themes)
	t.Run("without scripts", s.withoutScripts)
	t.Run("read only", s.readOnly)
	t.Run("other sites", s.otherSites)
	t.Run("small windows", s.smallWindows)
	t.Run("ended sessions", s.endedSessions)
}

func (s *site) keys(t *testing.T) {
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/settings")
	b.press("gl")
	b.until("g l leads to the audit log", `location.pathname === "/admin/audit" && document.readyState === "complete"`)
	b.press("?")
	b.until("? shows the keys", `document.querySelector("#help").open`)
	b.press("gt")
	b.do("close the help", chromedp.KeyEvent("\x1b"))
	b.until("Escape hides them", `!document.querySelector("#help").open`)
	if at := asked[string](b, `location.pathname`); at != "/admin/audit" {
		t.Errorf("keys lead to %s behind a dialog", at)
	}
	b.press("j")
	b.until("j goes to the first row", `document.querySelector("[data-list] tbody tr").classList.contains("at")`)
	b.press("/")
	b.until("/ goes to the search", `document.activeElement.id === "find"`)
	b.press("g tj?")
	if got := asked[string](b, `document.querySelector("#find").value`); !strings.HasSuffix(got, "g tj?") {
		t.Errorf("while typing, keys write %q", got)
	}
	if asked[bool](b, `document.querySelector("#help").open`) {
		t.Error("? shows the keys while one types")
	}
	b.calm("keys")
}

// live: what somebody else does appears by itself, and not under the hands of who reads.
func (s *site) live(t *testing.T) {
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/audit")
	b.until("it is live", `document.querySelector("#livestate").dataset.state === "live"`)
	b.do("mark the page", chromedp.Evaluate[chromedp.Void](`window.same = true; void 0`))
	entries := `document.querySelectorAll("[data-list] tbody > tr").length`
	before := asked[int](b, entries)
	b.press("?")
	b.until("it is paused behind a dialog", `document.querySelector("#livestate").dataset.state === "paused"`)
	s.signedIn(t)
	// What changed is known, and waits.
	b.until("the change is known", `live.pending`)
	if now := asked[int](b, entries); now != before {
		t.Errorf("the list changed behind a dialog, from %d to %d entries", before, now)
	}
	b.do("close the help", chromedp.KeyEvent("\x1b"))
	b.until("the new entry appears", fmt.Sprintf("%s > %d", entries, before))
	if !asked[bool](b, `window.same === true`) {
		t.Error("the page was loaded anew")
	}
	b.press(".")
	b.until("it is paused", `document.querySelector("#livetext").textContent === "Paused"`)
	b.open("/admin/sessions")
	b.until("it stays paused on other pages", `document.querySelector("#livetext").textContent === "Paused"`)
	b.calm("live")
}

// signedIn is somebody who signs in without a browser.
func (s *site) signedIn(t *testing.T) *http.Client {
	t.Helper()
	return s.signedInAs(t, adminKey)
}

func (s *site) signedInAs(t *testing.T, key string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: patience}
	answer, err := c.PostForm(s.url+"/admin/login", url.Values{"key": {key}, "next": {"/admin/settings"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("sign in: %s", answer.Status)
	}
	return c
}

func (s *site) themes(t *testing.T) {
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/settings")
	ground := func() string { return asked[string](b, `getComputedStyle(document.documentElement).backgroundColor`) }
	b.theme("light")
	light := ground()
	b.theme("dark")
	dark := ground()
	if light == dark {
		t.Fatalf("light and dark are both %s", light)
	}
	b.click(`input[name=theme][value=light]`)
	b.click(`main form button.primary`)
	b.says("Kept in this browser")
	if got := ground(); got != light {
		t.Errorf("who chose light on a dark system gets %s", got)
	}
	b.calm("themes")
}

// withoutScripts reads, and acts, where no script runs.
func (s *site) withoutScripts(t *testing.T) {
	b := s.tab(t)
	b.scripts(false)
	b.open("/admin/sessions")
	b.do("sign in", chromedp.SendKeys(chromedp.CSS("#key"), adminKey+"\n"))
	b.until("the page that was asked for is there", `location.pathname === "/admin/sessions" && document.querySelector("table") !== null`)
	b.says(" UTC")
	if asked[bool](b, `document.querySelector("#livestate").offsetParent !== null`) {
		t.Error("without a script something claims to be live")
	}
	b.click(`details.confirm summary`)
	b.click(`details.confirm[open] button`)
	b.until("one's own session has ended", `location.pathname === "/admin/login"`)
	b.calm("without scripts")
}

func (s *site) readOnly(t *testing.T) {
	b := s.tab(t)
	b.signIn(s.key(t, "admin_read"))
	b.open("/admin/sessions")
	b.says("Read only")
	if n := asked[int](b, `document.querySelectorAll("main form[method=post]").length`); n != 0 {
		t.Errorf("who may only look is offered %d acts", n)
	}
	// Who makes a form of his own is refused.
	b.do("post anyway", chromedp.Evaluate[chromedp.Void](`document.body.insertAdjacentHTML("beforeend",
		'<form id="made" method="post" action="/admin/sessions/01890000-0000-7000-8000-000000000000/end"></form>'); document.querySelector("#made").submit()`))
	b.says("You may not do that")
}

func (s *site) otherSites(t *testing.T) {
	c := s.signedIn(t)
	for _, header := range [][2]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/admin/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header[0], header[1])
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "another site") {
			t.Errorf("%s: %s", header[0], answer.Status)
		}
	}
	// By a real form on a real other site, which a browser sends without the cookie, and says where it is from.
	b := s.tab(t)
	b.signIn(adminKey)
	evil := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	b.do("visit another site", chromedp.Navigate(evil+"/livez"))
	b.do("post from there", chromedp.Evaluate[chromedp.Void](`document.documentElement.innerHTML = '<body><form id="made" method="post" action="`+s.url+`/admin/logout"></form>'; void 0`))
	b.open("/admin/settings")
	b.says("Theme") // still signed in
}

func (s *site) smallWindows(t *testing.T) {
	b := s.tab(t)
	b.signIn(adminKey)
	b.do("make the window small", chromedp.EmulateViewport(390, 800))
	b.open("/admin/audit")
	if asked[bool](b, `document.querySelector("nav.side").checkVisibility()`) {
		t.Error("the navigation covers a small window")
	}
	b.click("button.menu")
	b.until("the navigation opens", `document.querySelector("nav.side").checkVisibility()`)
	for _, path := range []string{"/admin/audit", "/admin/sessions", "/admin/settings"} {
		b.open(path)
		if wide := asked[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s is %d pixels wider than a small window: %s", path, wide, asked[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth && !e.parentElement.closest(".scroll")).slice(0, 5).map(e => e.outerHTML.slice(0, 90)).join("\n")`))
		}
	}
	b.calm("small windows")
}

// endedSessions: a page that is live finds out, and a form leads to the sign-in.
func (s *site) endedSessions(t *testing.T) {
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/sessions")
	s.do(t, http.MethodDelete, "/api/admin/sessions/"+asked[string](b, `[...document.querySelectorAll("tbody tr")].find(r => r.innerText.includes("this browser")).querySelector("form").action.split("/").at(-2)`), nil, nil)
	b.until("it leads to the sign-in", `location.pathname === "/admin/login"`)
	b.says("Your session has ended")
	if next := asked[string](b, `document.querySelector("[name=next]").value`); next != "/admin/sessions" {
		t.Errorf("after signing in again one comes to %q", next)
	}
}
