package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/operator"
)

func TestSessionsAreEnded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	looker, chief := g.readOnly(), g.admin()
	page := chief.get("/admin/sessions").wants(http.StatusOK, "made by a test", "this browser", "read only", "127.0.0.1")
	var list operator.Sessions
	if err := (&client{g.url, testAdminKey}).do(t.Context(), http.MethodGet, "/api/admin/sessions", nil, &list); err != nil {
		t.Fatal(err)
	}
	var theirs string
	for _, s := range list.Data {
		if s.Role == "read_only" {
			theirs = s.ID
		}
	}
	if theirs == "" || !strings.Contains(page.body, "/admin/sessions/"+theirs+"/end") {
		t.Fatalf("the session %q can't be ended on the page", theirs)
	}
	looker.get("/admin/sessions").wants(http.StatusOK).lacks("End the session")
	looker.post("/admin/sessions/"+theirs+"/end", nil).wants(http.StatusForbidden, "You may not do that")
	chief.post("/admin/sessions/"+theirs+"/end", nil).wants(http.StatusOK, "The session has ended").lacks("read only ")
	chief.get("/admin/sessions").lacks("The session has ended")
	looker.get("/admin/sessions").wants(http.StatusOK, "Your session has ended")
	chief.post("/admin/sessions/"+theirs+"/end", nil).wants(http.StatusNotFound)
	chief.get("/admin/audit").wants(http.StatusOK, "session.end", "open true false", "admin.presume")
}

func TestHostileSessionsAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	key := g.keyNamed(hostile[:90], "admin_read")
	b := g.browser()
	b.http.Transport = agent(hostile)
	b.post("/admin/login", map[string][]string{"key": {key}, "next": {hostile}})
	b.get("/admin/sessions").wants(http.StatusOK).inert()
	g.admin().get("/admin/sessions").wants(http.StatusOK).inert()
	b.get("/admin/login?next=" + url.QueryEscape(hostile)).wants(http.StatusOK)
	b.get("/admin/" + url.PathEscape(hostile)).wants(http.StatusNotFound)
}

// agent calls itself something.
type agent string

// RoundTrip implements http.RoundTripper.
func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", string(a))
	return http.DefaultTransport.RoundTrip(r)
}

func TestSettingsShowNoSecret(t *testing.T) {
	t.Parallel()
	value := hostile
	g := newRig(t, func(c *api.Config) {
		c.Settings = []operator.Setting{{Name: "OLLAMA_URL", Value: &value, Set: true, Help: hostile}, {Name: "PAYAID_ADMIN_KEY", Set: true, Secret: true}, {Name: "SMTP_HOST"}}
	})
	page := g.readOnly().get("/admin/settings").wants(http.StatusOK, "OLLAMA_URL", "PAYAID_ADMIN_KEY secret, set", "SMTP_HOST not set", "Postgres").inert()
	if strings.Contains(page.body, testAdminKey) {
		t.Error("the admin key is on the page")
	}
}
