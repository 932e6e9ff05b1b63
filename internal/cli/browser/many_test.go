package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/payaid/payaid/operator"
)

// many is how many jobs one order of an operator is about here.
const many = 10_000

// manyPatience is how long that many jobs may take, each with a browser and a database beside it on two cores.
const manyPatience = 10 * time.Minute

// manyFailedJobs retries all that match: from the list, by a preview, to the report. Each gets one new run.
func (s *site) manyFailedJobs(t *testing.T) {
	org, own := s.organization(t)
	g := newGate(t)
	for range many / 1000 {
		batch := make([]map[string]any, 1000)
		for i := range batch {
			batch[i] = map[string]any{"kind": "browser.door", "input": map[string]any{"url": g.url}}
		}
		if err := own.Do(t.Context(), http.MethodPost, "/api/jobs/batch", map[string]any{"jobs": batch}, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.ended(t, org)
	g.open.Store(true)

	b := s.tab(t)
	b.signIn(adminKey)
	b.open("/admin/jobs?organization_id=" + org)
	b.follow("the tab of those that failed", ".tabs a", "failed")
	b.do("fill the filter", chromedp.SendKeys(chromedp.CSS(`form.filters input[name=error]`), "BLUE door\n"))
	b.until("the list is filtered", `location.search.includes("error=BLUE") && location.search.includes("status=failed") && document.readyState === "complete"`)
	b.follow("the link to all that match", "main a.button", "Retry…")
	b.says("Retry 10,000 jobs?")
	b.says("browser.door")
	b.accessible("the preview")
	b.click(`main form[action="/admin/bulk"] button`)
	b.until("it is carried out on a page of its own", `/^\/admin\/bulk\/[0-9a-f-]{36}$/.test(location.pathname) && document.readyState === "complete"`)
	b.do("mark the page", chromedp.Evaluate[chromedp.Void](`window.same = true; void 0`))
	b.untilWithin(manyPatience, "the report comes before one's eyes", `document.querySelector("main meter").value === 10000 && document.querySelector("main .head .badge").innerText.trim().toLowerCase() === "done"`)
	if !asked[bool](b, `window.same === true`) {
		t.Error("the progress was not shown live: the page was loaded anew")
	}
	for what, want := range map[string]string{"Done": "10,000", "Skipped": "0", "Failed": "0", "Left": "0"} {
		if got := asked[string](b, `[...document.querySelectorAll("dl.figures > div")].find(d => d.querySelector("dt").innerText === "`+what+`").querySelector("dd").firstChild.textContent`); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	b.accessible("the report")
	id := asked[string](b, `location.pathname.split("/").at(-1)`)
	s.ended(t, org)
	if n := s.runs(t, org); n != many {
		t.Errorf("%d jobs have succeeded in one new run, want %d", n, many)
	}
	b.follow("the audit log of it", "main a", "audit log")
	b.says("bulk.retry")
	b.says("bulk.end")
	s.audited(t, id)
	b.calm("many failed jobs")
}

// ended waits until no job of an organization has anything left to do.
func (s *site) ended(t *testing.T, org string) {
	t.Helper()
	eventually(t, manyPatience, "all jobs end", func() bool {
		for _, status := range []string{"queued", "running", "waiting", "scheduled"} {
			var list operator.JobList
			s.get(t, "/api/admin/jobs", url.Values{"organization_id": {org}, "sort": {"requested"}, "status": {status}, "limit": {"1"}}, &list)
			if len(list.Data) > 0 || list.HasMore {
				return false
			}
		}
		return true
	})
}

// runs counts jobs that succeeded in their second run, and fails the test for all others.
func (s *site) runs(t *testing.T, org string) (n int) {
	t.Helper()
	query := url.Values{"organization_id": {org}, "sort": {"requested"}, "limit": {"200"}}
	for {
		var list operator.JobList
		s.get(t, "/api/admin/jobs", query, &list)
		for _, j := range list.Data {
			if j.Status != "succeeded" || j.Run != 2 || j.Attempt != 1 {
				t.Fatalf("job %s is %s in attempt %d of run %d", j.ID, j.Status, j.Attempt, j.Run)
			}
		}
		n += len(list.Data)
		if list.NextCursor == nil {
			return n
		}
		query.Set("cursor", *list.NextCursor)
	}
}

// audited checks what the log says of a bulk action: who asked for how many of which, and what came of it.
func (s *site) audited(t *testing.T, id string) {
	t.Helper()
	var list operator.AuditList
	s.get(t, "/api/admin/audit", url.Values{"target": {"bulk"}, "target_id": {id}}, &list)
	said := map[string]string{}
	for _, e := range list.Data {
		said[e.Action] = fmt.Sprint(e.Role, " ", e.Outcome, " ", string(e.After))
		if e.SessionID == nil {
			t.Errorf("%s has no session", e.Action)
		}
	}
	t.Log(said)
	if len(list.Data) != 2 || said["bulk.retry"] == "" || said["bulk.end"] == "" {
		t.Errorf("the audit log has %v", said)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, patience time.Duration, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: it never did", what)
		}
	}
}
