package browser

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/payaid/payaid/operator"
)

// pausedQueue pauses a queue by its page, sees its jobs wait, and lets it go on.
func (s *site) pausedQueue(t *testing.T) {
	_, own := s.organization(t)
	g := newGate(t)
	g.open.Store(true)
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/queues")
	b.follow("the queue", "main table a", "bench")
	b.click(`main details.confirm summary`)
	b.click(`main details.confirm[open] button`)
	b.until("it is paused", `document.querySelector("main .head .badge")?.innerText.trim().toLowerCase() === "paused"`)
	// Workers hear of it within seconds. What they took until then ends; the first job that they leave alone stays.
	id := submit(t, own, g.url)
	eventually(t, patience, "a job waits that nobody takes", func() bool {
		if statusOf(t, own, id) == "succeeded" {
			id = submit(t, own, g.url)
		}
		var q operator.QueueDetail
		s.get(t, "/api/admin/queues/bench", nil, &q)
		return q.PausedAt != nil && q.Available == 1 && q.OldestMS != nil && *q.OldestMS > 5000
	})
	b.until("the page shows by itself that it waits", `[...document.querySelectorAll("dl.figures > div")].find(d => d.querySelector("dt").innerText === "Due").querySelector("dd").firstChild.textContent === "1"`)
	if status := statusOf(t, own, id); status != "queued" {
		t.Fatalf("the job in the paused queue is %s", status)
	}
	b.open("/admin/queues")
	b.says("paused")
	b.open("/admin/queues/bench")
	b.click(`main form[action="/admin/queues/bench/resume"] button`)
	b.says("The queue is worked again.")
	b.until("it is not paused", `document.querySelector("main .head .badge") === null`)
	eventually(t, patience, "the job runs", func() bool { return statusOf(t, own, id) == "succeeded" })
	var list operator.AuditList
	s.get(t, "/api/admin/audit", map[string][]string{"target": {"queue"}, "target_id": {"bench"}}, &list)
	if len(list.Data) != 2 {
		t.Errorf("the audit log has %+v", list.Data)
	}
	b.calm("a paused queue")
}

// retryWithoutScripts retries a failed job by a plain form.
func (s *site) retryWithoutScripts(t *testing.T) {
	org, own := s.organization(t)
	g := newGate(t)
	id := submit(t, own, g.url)
	eventually(t, patience, "the job fails", func() bool { return statusOf(t, own, id) == "failed" })
	g.open.Store(true)
	b := s.tab(t)
	b.scripts(false)
	b.signIn(adminKey)
	b.open("/admin/jobs?status=failed&organization_id=" + org)
	b.click(`main table a[href="/admin/jobs/` + id + `"]`)
	b.says("nobody opened the blue door")
	b.click(`main form[action$="/do/retry"] button`)
	b.says("The job is retried.")
	eventually(t, patience, "the job runs again", func() bool { return statusOf(t, own, id) == "succeeded" })
	b.open("/admin/jobs/" + id)
	b.until("the page says so", `document.querySelector("main .head .badge.good") !== null`)
	b.says("run 2")
	b.calm("without scripts")
}

// whoMayLook is offered nothing to do, and refused what it does anyway.
func (s *site) whoMayLook(t *testing.T) {
	_, own := s.organization(t)
	g := newGate(t)
	id := submit(t, own, g.url)
	eventually(t, patience, "the job fails", func() bool { return statusOf(t, own, id) == "failed" })
	key := s.key(t, "admin_read")
	b := s.tab(t)
	b.signIn(key)
	for _, path := range append(b.paths(), "/admin/jobs?status=failed", "/admin/jobs/"+id, "/admin/queues/bench") {
		if path == "/admin/settings" {
			continue // choices of one's own, which the browser keeps
		}
		b.open(path)
		if found := asked[[]string](b, `[...document.querySelectorAll("main form[method=post] button, main form[method=post] input:not([type=hidden]), main a.button[href^='/admin/bulk?'], main a[href$='/new'], main a[href$='/again']")].map(e => e.outerHTML)`); len(found) > 0 {
			t.Errorf("%s offers to who may only look: %v", path, found)
		}
	}
	b.calm("who may only look")
	c := s.signedInAs(t, key)
	for path, form := range map[string]map[string][]string{
		"/admin/jobs/" + id + "/do/retry":  nil,
		"/admin/jobs/" + id + "/do/delete": nil,
		"/admin/jobs/" + id + "/reveal":    nil,
		"/admin/jobs/selected":             {"action": {"retry"}, "id": {id}},
		"/admin/bulk":                      {"action": {"retry"}, "status": {"failed"}, "expected": {"1"}},
		"/admin/queues/bench/pause":        nil,
		"/admin/queues/all/pause":          nil,
	} {
		answer, err := c.PostForm(s.url+path, form)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	if status := statusOf(t, own, id); status != "failed" {
		t.Errorf("the job is %s", status)
	}
	var q operator.QueueDetail
	if s.get(t, "/api/admin/queues/bench", nil, &q); q.PausedAt != nil {
		t.Error("the queue is paused")
	}
}

// whatIsOpen stays open when the page is fetched anew, and what is shut stays shut.
func (s *site) whatIsOpen(t *testing.T) {
	_, own := s.organization(t)
	g := newGate(t)
	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/queues/bench")
	b.until("figures are open", `document.querySelector("main .chart details").open || (document.querySelector("main .chart summary").click(), false)`)
	open := `JSON.stringify([...document.querySelectorAll("main .chart details")].map(d => d.open))`
	before := asked[string](b, open)
	if !strings.HasPrefix(before, "[true,false,") {
		t.Fatalf("before, there is open %s", before)
	}
	b.do("mark what is shown", chromedp.Evaluate[chromedp.Void](`document.querySelector("#live").old = true; void 0`))
	submit(t, own, g.url)
	b.until("the page is fetched anew", `document.querySelector("#live").old === undefined`)
	b.until("what was open is open", open+` === `+quoted(before))
	b.calm("what is open")
}
