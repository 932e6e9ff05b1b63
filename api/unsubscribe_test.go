package api

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
)

// reminded makes a mail of the stream reminders, and gives the link that its first recipient has.
func (g *rig) reminded(t testing.TB, org string, addresses ...string) (id, link string) {
	t.Helper()
	id = g.mailed(t, org, func(m *store.Mail) { m.Stream = "reminders" }, addresses...)
	return id, g.link(t, org, id, 1)
}

func (g *rig) link(t testing.TB, org, id string, recipient int) string {
	t.Helper()
	made, err := g.Tickets.Unsubscribe(t.Context(), ticket.Ref{OrganizationID: org, MessageID: id, Recipient: recipient})
	if err != nil {
		t.Fatal(err)
	}
	return "/unsubscribe/" + made
}

// browse is a request as browsers and mail programs make it.
func (g *rig) browse(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(page)
}

const (
	oneClick = "List-Unsubscribe=One-Click"
	browsers = "text/html,application/xhtml+xml,*/*;q=0.8"
)

// Whatever fetches links, and however often, unsubscribes nobody.
func TestLookingUnsubscribesNobody(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	g.call(t, key, "PATCH", "/api/organization", `{"name":"<b>Acme</b> & Sons"}`).want(200)
	id, link := g.reminded(t, org, "Asha.Rao@example.in")
	for _, method := range []string{"GET", "HEAD", "GET"} {
		resp, page := g.browse(t, method, link, "")
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Set-Cookie") != "" || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, resp.StatusCode, h)
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "form-action 'self'") {
			t.Errorf("policy %q", csp)
		}
		if method == "HEAD" {
			continue
		}
		for _, want := range []string{`<html lang="en">`, `<form method="post">`, "&lt;b&gt;Acme&lt;/b&gt; &amp; Sons", "reminders", "A…@example.in", oneClickField} {
			if !strings.Contains(page, want) {
				t.Errorf("the page has no %q:\n%s", want, page)
			}
		}
		for _, never := range []string{"Asha", "<script", "style=", "<style", "http:", "https:"} {
			if strings.Contains(page, never) {
				t.Errorf("the page has %q:\n%s", never, page)
			}
		}
	}
	g.call(t, "", "GET", link, "").want(200)
	if resp, _ := g.browse(t, "PUT", link, oneClick); resp.StatusCode != 405 {
		t.Errorf("PUT: %d", resp.StatusCode)
	}
	if got := g.suppressions(t, key, ""); got != nil || g.mail(t, key, id).Version != 1 || len(g.facts(t, id)) != 0 {
		t.Errorf("somebody is unsubscribed: %q", got)
	}
}

const oneClickField = `name="List-Unsubscribe" value="One-Click"`

func TestOneClickUnsubscribes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, otherKey := g.organization(t)
	g.reminded(t, other, "asha@example.in")
	for name, post := range map[string][]string{
		"a mail program":       {oneClick},
		"one that sends parts": {"--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x"},
		"one that says little": {""},
		"the page's button":    {oneClick, "Accept", browsers, "Origin", "null", "Sec-Fetch-Site", "same-origin"},
		"another site":         {oneClick, "Origin", "https://mail.example.com", "Sec-Fetch-Site", "cross-site", "Cookie", "a=b"},
		"a holder of a key":    {oneClick, "Authorization", "Bearer " + otherKey},
	} {
		t.Run(name, func(t *testing.T) {
			address := outbox.NewID() + "@Example.in"
			id, link := g.reminded(t, org, address, "other@example.in")
			for range 3 {
				resp, page := g.browse(t, "POST", link, post[0], post[1:]...)
				if resp.StatusCode != 200 || resp.Header.Get("Location") != "" || resp.Header.Get("Set-Cookie") != "" || strings.Contains(page, "<form") ||
					!strings.Contains(page, "You are unsubscribed") {
					t.Fatalf("got %d %v\n%s", resp.StatusCode, resp.Header, page)
				}
			}
			if got := g.suppressions(t, key, "address="+address); len(got) != 1 || got[0] != strings.ToLower(address)+" reminders unsubscribe" {
				t.Errorf("got %q", got)
			}
			v := g.mail(t, key, id)
			if last := v.Events[len(v.Events)-1]; len(v.Events) != 2 || last.Type != "unsubscribed" || *last.Recipient != address || v.Version != 2 {
				t.Errorf("got %+v", v)
			}
			if told := g.facts(t, id); len(told) != 1 || told[0].typ != "mail.unsubscribed" || strings.Contains(told[0].data, "@") {
				t.Errorf("the facts are %+v", told)
			}
			if _, page := g.browse(t, "GET", link, ""); strings.Contains(page, "<form") {
				t.Errorf("the page asks again:\n%s", page)
			}
			// Somebody who asks for mails again, and changes his mind.
			g.call(t, key, "DELETE", "/api/mail/suppressions?address="+address, "").want(204)
			g.browse(t, "POST", link, post[0], post[1:]...)
			if got := g.suppressions(t, key, "address="+address); len(got) != 1 {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := g.suppressions(t, otherKey, ""); got != nil {
		t.Errorf("another organization's list has %q", got)
	}
}

// What keeps mails back for a time only doesn't stand in the way of who wants none for good.
func TestUnsubscribingOutlastsOtherReasons(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, link := g.reminded(t, org, "a@example.in")
	g.call(t, key, "POST", "/api/mail/suppressions", `{"address":"a@example.in","stream":"reminders","expires_at":"2999-01-01T00:00:00Z"}`).want(201)
	g.browse(t, "POST", link, oneClick)
	if n := g.count(t, `SELECT count(*) FROM mail_suppressions WHERE expires_at IS NULL`); n != 1 {
		t.Error("it ends")
	}
	if got := g.suppressions(t, key, ""); len(got) != 1 || got[0] != "a@example.in reminders manual" {
		t.Errorf("got %q", got)
	}
}

func TestLinksThatLeadNowhere(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, _ := g.organization(t)
	id, link := g.reminded(t, org, "a@example.in")
	invoice := g.mailed(t, org, nil, "a@example.in")
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(link, "/unsubscribe/"))
	if err != nil {
		t.Fatal(err)
	}
	raw[17]++ // the second recipient
	bounces, err := g.Tickets.ReturnPath(t.Context(), ticket.Ref{MessageID: id, Recipient: 1})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/unsubscribe/x": "not_found",
		"/unsubscribe/" + strings.Repeat("A", 9000):                 "not_found",
		"/unsubscribe/%00%ff":                                       "not_found",
		"/unsubscribe/" + bounces:                                   "not_found",
		link[:len(link)-1]:                                          "not_found",
		"/unsubscribe/" + base64.RawURLEncoding.EncodeToString(raw): "not_found",
		g.link(t, org, invoice, 1):                                  "not_found", // one can't unsubscribe from invoices
		g.link(t, org, id, 2):                                       "gone",
		g.link(t, org, outbox.NewID(), 1):                           "gone", // cleaned up
		g.link(t, other, id, 1):                                     "gone",
	} {
		status := codes[want].status
		for _, method := range []string{"GET", "POST"} {
			g.call(t, "", method, path, "").problem(status, want)
			resp, page := g.browse(t, method, path, "", "Accept", browsers)
			if resp.StatusCode != status || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page, "You were not unsubscribed") ||
				strings.Contains(page, "example.in") {
				t.Errorf("%s %s: %d\n%s", method, path, resp.StatusCode, page)
			}
		}
	}
	if got := g.suppressions(t, key, ""); got != nil {
		t.Errorf("somebody is unsubscribed: %q", got)
	}
	g.call(t, "", "POST", link, "").want(200)

	none := newRig(t, func(c *Config) { c.Tickets = nil })
	none.call(t, "", "POST", link, "").problem(404, "not_found")
}

// Two clicks at a time are one.
func TestUnsubscribingAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id, link := g.reminded(t, org, "a@example.in", "a@example.in")
	links := []string{link, g.link(t, org, id, 2)}
	var clicks sync.WaitGroup
	for i := range 12 {
		clicks.Go(func() {
			if resp, page := g.browse(t, "POST", links[i%2], oneClick); resp.StatusCode != 200 {
				t.Errorf("got %d %s", resp.StatusCode, page)
			}
		})
	}
	clicks.Wait()
	if v := g.mail(t, key, id); len(g.facts(t, id)) != 1 || len(v.Events) != 2 {
		t.Errorf("it is told of more than once: %+v", v.Events)
	}
}
