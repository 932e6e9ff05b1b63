package admin

import (
	"net/http"
	"slices"
	"strings"
)

// A page is one line of the URL space under /admin.
type page struct {
	method, pattern string
	handle          func(*Pages, *request) error
	nav             string // name of the entry of the navigation that it belongs to
	public          bool   // shown to who has not signed in
}

// table is the whole URL space.
func (p *Pages) table() []page {
	const get, post = http.MethodGet, http.MethodPost
	return append([]page{
		{method: get, pattern: "/admin/login", handle: (*Pages).showLogin, public: true},
		{method: post, pattern: "/admin/login", handle: (*Pages).login, public: true},
		{method: post, pattern: "/admin/logout", handle: (*Pages).logout, public: true},

		{method: get, pattern: "/admin/{$}", handle: (*Pages).index},
		{method: get, pattern: "/admin/find", handle: (*Pages).find},

		{method: get, pattern: "/admin/live", handle: (*Pages).live},

		{method: get, pattern: "/admin/jobs", handle: (*Pages).jobs, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/selected", handle: (*Pages).actOnJobs, nav: "jobs"},
		{method: get, pattern: "/admin/jobs/export", handle: (*Pages).exportJobs, nav: "jobs"},
		{method: get, pattern: "/admin/jobs/new", handle: (*Pages).newJob, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/new", handle: (*Pages).makeJob, nav: "jobs"},
		{method: get, pattern: "/admin/jobs/{id}", handle: (*Pages).job, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/{id}/reveal", handle: (*Pages).revealJob, nav: "jobs"},
		{method: get, pattern: "/admin/jobs/{id}/events", handle: (*Pages).followJob, nav: "jobs"},
		{method: get, pattern: "/admin/jobs/{id}/again", handle: (*Pages).jobAgain, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/{id}/again", handle: (*Pages).makeJob, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/{id}/change", handle: (*Pages).changeJob, nav: "jobs"},
		{method: post, pattern: "/admin/jobs/{id}/do/{act}", handle: (*Pages).actOnJob, nav: "jobs"},
		{method: post, pattern: "/admin/views", handle: (*Pages).keepView, nav: "jobs"},
		{method: post, pattern: "/admin/views/{id}/delete", handle: (*Pages).deleteView, nav: "jobs"},

		{method: get, pattern: "/admin/failures", handle: (*Pages).failures, nav: "failures"},
		{method: get, pattern: "/admin/failures/{fingerprint}", handle: (*Pages).failure, nav: "failures"},
		{method: get, pattern: "/admin/bulk", handle: (*Pages).bulkActions, nav: "jobs"},
		{method: post, pattern: "/admin/bulk", handle: (*Pages).bulk, nav: "jobs"},
		{method: get, pattern: "/admin/bulk/{id}", handle: (*Pages).bulkAction, nav: "jobs"},
		{method: post, pattern: "/admin/bulk/{id}/stop", handle: (*Pages).stopBulk, nav: "jobs"},

		{method: get, pattern: "/admin/ai", handle: (*Pages).ai, nav: "ai"},
		{method: get, pattern: "/admin/ai/calls", handle: (*Pages).aiCalls, nav: "ai"},
		{method: post, pattern: "/admin/ai/models", handle: (*Pages).pullModel, nav: "ai"},

		{method: get, pattern: "/admin/mail", handle: (*Pages).mails, nav: "mail"},
		{method: get, pattern: "/admin/mail/{id}", handle: (*Pages).mail, nav: "mail"},
		{method: get, pattern: "/admin/mail/html/{id}", handle: (*Pages).mailHTML, nav: "mail"},
		{method: post, pattern: "/admin/mail/{id}/reveal", handle: (*Pages).revealMail, nav: "mail"},
		{method: post, pattern: "/admin/mail/{id}/settle", handle: (*Pages).settleMail, nav: "mail"},
		{method: get, pattern: "/admin/mail/suppressions", handle: (*Pages).suppressions, nav: "mail"},
		{method: post, pattern: "/admin/mail/suppressions", handle: (*Pages).suppress, nav: "mail"},
		{method: post, pattern: "/admin/mail/suppressions/{id}/remove", handle: (*Pages).unsuppress, nav: "mail"},
		{method: get, pattern: "/admin/mail/templates", handle: (*Pages).mailSamples, nav: "mail"},
		{method: get, pattern: "/admin/mail/templates/{id}", handle: (*Pages).mailSample, nav: "mail"},
		{method: get, pattern: "/admin/mail/templates/{id}/html", handle: (*Pages).mailSampleHTML, nav: "mail"},
		{method: get, pattern: "/admin/mail/sink", handle: (*Pages).mailSink, nav: "mail"},
		{method: get, pattern: "/admin/mail/sink/{id}", handle: (*Pages).caughtMail, nav: "mail"},
		{method: get, pattern: "/admin/mail/sink/{id}/html", handle: (*Pages).caughtHTML, nav: "mail"},
		{method: post, pattern: "/admin/mail/sink/{id}/reveal", handle: (*Pages).revealCaught, nav: "mail"},

		{method: get, pattern: "/admin/backups", handle: (*Pages).backups, nav: "backups"},
		{method: post, pattern: "/admin/backups", handle: (*Pages).makeBackup, nav: "backups"},
		{method: post, pattern: "/admin/backups/{name}/verify", handle: (*Pages).verifyBackup, nav: "backups"},

		{method: get, pattern: "/admin/indexes", handle: (*Pages).indexes, nav: "indexes"},
		{method: post, pattern: "/admin/indexes/sample", handle: (*Pages).sampleIndexes, nav: "indexes"},

		{method: get, pattern: "/admin/chain", handle: (*Pages).chain, nav: "chain"},
		{method: get, pattern: "/admin/chain/{id}", handle: (*Pages).chain, nav: "chain"},

		{method: get, pattern: "/admin/events", handle: (*Pages).events, nav: "events"},
		{method: get, pattern: "/admin/events/dead", handle: (*Pages).deadEvents, nav: "events"},
		{method: post, pattern: "/admin/events/dead/redrive", handle: (*Pages).redrive, nav: "events"},
		{method: get, pattern: "/admin/events/replay", handle: (*Pages).replay, nav: "events"},
		{method: post, pattern: "/admin/events/replay", handle: (*Pages).replay, nav: "events"},
		{method: get, pattern: "/admin/events/{id}", handle: (*Pages).event, nav: "events"},
		{method: post, pattern: "/admin/events/{id}/reveal", handle: (*Pages).revealEvent, nav: "events"},

		{method: get, pattern: "/admin/webhooks", handle: (*Pages).webhooks, nav: "webhooks"},
		{method: get, pattern: "/admin/webhooks/deliveries", handle: (*Pages).deliveries, nav: "webhooks"},
		{method: get, pattern: "/admin/webhooks/deliveries/{id}", handle: (*Pages).delivery, nav: "webhooks"},
		{method: post, pattern: "/admin/webhooks/deliveries/{id}/reveal", handle: (*Pages).revealDelivery, nav: "webhooks"},
		{method: post, pattern: "/admin/webhooks/deliveries/{id}/replay", handle: (*Pages).replayDelivery, nav: "webhooks"},
		{method: get, pattern: "/admin/webhooks/{organization}/{id}", handle: (*Pages).webhook, nav: "webhooks"},
		{method: post, pattern: "/admin/webhooks/{organization}/{id}/{verb}", handle: (*Pages).changeWebhook, nav: "webhooks"},

		{method: get, pattern: "/admin/system", handle: (*Pages).system, nav: "system"},
		{method: get, pattern: "/admin/audit", handle: (*Pages).audit, nav: "audit"},

		{method: get, pattern: "/admin/sessions", handle: (*Pages).sessions, nav: "sessions"},
		{method: post, pattern: "/admin/sessions/{id}/end", handle: (*Pages).endSession, nav: "sessions"},
		{method: get, pattern: "/admin/settings", handle: (*Pages).settings, nav: "settings"},
		{method: post, pattern: "/admin/settings", handle: (*Pages).saveSettings, nav: "settings"},
	}, workPages()...)
}

// A navItem is an entry of the navigation; one without pages is left out. Key is what follows g on the keyboard.
type navItem struct{ Name, Title, Path, Key string }

// A navGroup is a part of the navigation under a heading.
type navGroup struct {
	Title string
	Items []navItem
}

// navigation is what stands at the left, in the order in which one looks when something is wrong.
func navigation() []navGroup {
	return []navGroup{
		{"Work", []navItem{
			{"jobs", "Jobs", "/admin/jobs", "j"},
			{"failures", "Failures", "/admin/failures", "f"},
			{"queues", "Queues", "/admin/queues", "q"},
			{"kinds", "Kinds", "/admin/kinds", "k"},
			{"schedules", "Schedules", "/admin/schedules", "d"},
		}},
		{"Flow", []navItem{
			{"chain", "Chain", "/admin/chain", "c"},
			{"events", "Events", "/admin/events", "e"},
			{"webhooks", "Webhooks", "/admin/webhooks", "w"},
		}},
		{"Effects", []navItem{
			{"ai", "AI", "/admin/ai", "a"},
			{"mail", "Mail", "/admin/mail", "m"},
			{"backups", "Backups", "/admin/backups", "b"},
			{"indexes", "Indexes", "/admin/indexes", "i"},
		}},
		{"Installation", []navItem{
			{"system", "System", "/admin/system", "s"},
			{"workers", "Workers", "/admin/workers", "h"},
			{"audit", "Audit log", "/admin/audit", "l"},
			{"sessions", "Sessions", "/admin/sessions", "o"},
			{"settings", "Settings", "/admin/settings", "t"},
		}},
	}
}

// mount puts the table into the mux.
func (p *Pages) mount() {
	p.pages = p.table()
	for _, pg := range p.pages {
		p.mux.HandleFunc(pg.method+" "+pg.pattern, func(w http.ResponseWriter, r *http.Request) {
			q := requestOf(r)
			q.Request, q.page = r, pg // with the values of the path
			p.serve(q)
		})
	}
	p.mux.HandleFunc("/admin", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/admin/", http.StatusMovedPermanently)
	})
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		q.page = page{handle: (*Pages).missing}
		p.serve(q)
	})
}

// serve shows a page to who may see it.
func (p *Pages) serve(q *request) {
	if !q.page.public && !q.signIn() {
		return
	}
	if err := q.page.handle(p, q); err != nil {
		q.fail(err)
	}
}

// navFor is the navigation, with those entries of which there are pages.
func (p *Pages) navFor() (groups []navGroup) {
	there := make(map[string]bool, len(p.pages))
	for _, pg := range p.pages {
		there[pg.pattern] = there[pg.pattern] || pg.method == http.MethodGet
	}
	for _, g := range navigation() {
		kept := g
		kept.Items = nil
		for _, item := range g.Items {
			if there[item.Path] {
				kept.Items = append(kept.Items, item)
			}
		}
		if len(kept.Items) > 0 {
			groups = append(groups, kept)
		}
	}
	return groups
}

// index leads to the jobs, which are what one comes for.
func (p *Pages) index(r *request) error { return r.redirect("/admin/jobs", "") }

// find takes an id from the search in the top bar to the page that knows what it is.
func (p *Pages) find(r *request) error {
	id := strings.TrimSpace(r.FormValue("id"))
	if id == "" {
		return r.redirect("/admin/chain", "")
	}
	return r.redirect("/admin/chain/"+pathEscape(id), "")
}

// formPage is the path of the page that has the form of a path that is posted to: the nearest above it that can be asked
// for. pattern is the one that path matches.
func (p *Pages) formPage(pattern, path string) string {
	above := func(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
	for ; pattern != ""; pattern, path = above(pattern), above(path) {
		if slices.ContainsFunc(p.pages, func(pg page) bool { return pg.method == http.MethodGet && pg.pattern == pattern }) {
			return path
		}
	}
	return "/admin/"
}

// postedPage is where somebody comes to who asks for an address that can only be posted to: from the history, or by
// signing in again on such a page.
func (p *Pages) postedPage(r *request) (path string, ok bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", false
	}
	_, matched := p.mux.Handler(&http.Request{Method: http.MethodPost, Host: r.Host, URL: r.URL})
	pattern, ok := strings.CutPrefix(matched, http.MethodPost+" ")
	return p.formPage(pattern, r.URL.EscapedPath()), ok
}

// missing is the page for a path that leads nowhere, and for a method that a path doesn't take.
func (p *Pages) missing(r *request) error {
	if path, ok := p.postedPage(r); ok {
		return r.redirect(path, "")
	}
	for _, pg := range p.pages {
		if pg.pattern == r.URL.Path && pg.method != r.Method {
			return r.refuse(http.StatusMethodNotAllowed, "This page can't be used like that", "Go back, and use the buttons of the page.")
		}
	}
	return r.refuse(http.StatusNotFound, "There is no such page", "The address may be mistyped, or what was there is gone.")
}
