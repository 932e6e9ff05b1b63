package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// themed changes the theme on a page, by the form at its side.
func (b *browser) themed(page *shown) *shown {
	b.t.Helper()
	for _, form := range page.find("form") {
		if attribute(form, "action") != "/admin/settings" {
			continue
		}
		for n := range form.Descendants() {
			if attribute(n, "name") == "back" {
				return b.post("/admin/settings", url.Values{"theme": {"dark"}, "back": {attribute(n, "value")}})
			}
		}
	}
	b.t.Fatalf("%s has no form for the theme", page.url)
	return nil
}

// What was posted can't be asked for again: from a page that is shown so one comes to the page with the form.
func TestPostedPagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	_, id := g.hostileJob("queued")
	organization, event, endpoint, delivery := g.told()
	b := g.admin()
	job := "/admin/jobs/" + id
	for path, want := range map[string]string{
		job + "/reveal":                                      job,
		job + "/do/retry":                                    job,
		"/admin/events/" + event + "/reveal":                 "/admin/events/" + event,
		"/admin/webhooks/deliveries/" + delivery + "/reveal": "/admin/webhooks/deliveries/" + delivery,
		"/admin/webhooks/" + organization + "/" + endpoint + "/enable?x=" + job: "/admin/webhooks/" + organization + "/" + endpoint,
		"/admin/queues/all/nothing": "/admin/jobs",
		"/admin/jobs/selected":      "/admin/jobs",
	} {
		page := b.themed(b.post(path, url.Values{"action": {"nothing"}})).wants(http.StatusOK)
		if page.url.Path != want {
			t.Errorf("with another theme, %s leads to %s, want %s", path, page.url, want)
		}
	}
	for path, want := range map[string]string{job + "/reveal": job, job + "/do/retry": job, "/admin/queues/all/pause": "/admin/queues", "/admin/logout": "/admin/jobs"} {
		if page := b.get(path).wants(http.StatusOK); page.url.Path != want {
			t.Errorf("the address %s leads to %s, want %s", path, page.url, want)
		}
	}
	b.get("/admin/jobs/" + id + "/nothing").wants(http.StatusNotFound)
	preview := b.post("/admin/bulk", url.Values{"action": {"cancel"}, "status": {"queued"}, "sort": {"requested"}, "back": {"/admin/failures"}}).wants(http.StatusOK, "Cancel 1 jobs?")
	again := b.themed(preview).wants(http.StatusOK, "Cancel 1 jobs?").inert()
	if to := again.link("Leave it"); to != "/admin/failures" {
		t.Errorf("in another theme, the preview leads back to %q", to)
	}
}

// Every path that is posted to has a page that can be asked for, and no other page between the two.
func TestEveryFormHasAPage(t *testing.T) {
	t.Parallel()
	p := &Pages{}
	p.pages = p.table()
	posted := 0
	for _, pg := range p.pages {
		if pg.method != http.MethodPost {
			continue
		}
		posted++
		path := p.formPage(pg.pattern, strings.NewReplacer("{", "", "}", "").Replace(pg.pattern))
		if elsewhere := pg.pattern == "/admin/logout" || strings.HasPrefix(pg.pattern, "/admin/views"); (path == "/admin/") != elsewhere {
			t.Errorf("%s has the form of %s", path, pg.pattern)
		}
	}
	if posted < 30 {
		t.Errorf("there are %d", posted)
	}
}
