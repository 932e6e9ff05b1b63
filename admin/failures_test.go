package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const someCause = "00000000000000aa"

// troubles makes jobs of a hostile organization that failed of one hostile cause.
func (g *rig) troubles(n int) {
	g.t.Helper()
	org := uuid.NewString()
	g.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, $2, 'KA')`, org, hostile)
	g.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, attempt, finished_at)
		SELECT $1, ('0197bbbb-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'mail.send', 'mail', 'failed', 3, '{}', jsonb_build_object('code', $3::text, 'detail', $3::text),
			gen_random_uuid(), 3, now() FROM generate_series(1, $2::int) AS i`, org, n, hostile)
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint)
		SELECT organization_id, id, kind, queue, 1, 3, 'failed', $1, $1, $2 FROM jobs`, hostile, someCause)
}

func TestHostileFailuresAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.troubles(3)
	b := g.admin()
	b.get("/admin/failures").wants(http.StatusOK, "Jobs that have failed", "mail.send", "Retry all").inert()
	b.get("/admin/failures/"+someCause).wants(http.StatusOK, "failed", "Newest").inert()
	filter := url.Values{"action": {"retry"}, "status": {"failed"}, "fingerprint": {someCause}}
	b.post("/admin/bulk", filter).wants(http.StatusOK, "Retry 3 jobs").inert()
	filter.Set("error", hostile)
	b.post("/admin/bulk", filter).wants(http.StatusOK).inert()
	g.exec(`INSERT INTO bulk_actions (id, action, filter, matched, capped, asked_by, position, failed, reasons)
		VALUES ('0197cccc-0000-7000-8000-000000000001', 'retry', jsonb_build_object('error', $1::text), 1, true, jsonb_build_object('key_name', $1::text), 1, 1, jsonb_build_object($1::text, 1))`, hostile)
	g.exec(`INSERT INTO bulk_items (bulk_id, n, job_id, run, status, outcome, reason, detail)
		VALUES ('0197cccc-0000-7000-8000-000000000001', 1, gen_random_uuid(), 1, $1, 'failed', $1, $1)`, hostile)
	b.get("/admin/bulk").wants(http.StatusOK).inert()
	b.get("/admin/bulk/0197cccc-0000-7000-8000-000000000001").wants(http.StatusOK, "went wrong").inert()
}

// From a cause to its end: look, ask, confirm, follow, stop.
func TestABulkActionIsAskedAboutFirst(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.troubles(12)
	b := g.admin()
	ask := url.Values{"action": {"retry"}, "status": {"failed"}, "fingerprint": {someCause}, "kind": {"mail.send,ai.chat"}, "back": {"/admin/failures"}}
	preview := b.post("/admin/bulk", ask).wants(http.StatusOK, "Retry 12 jobs?", "By kind", "12", "Leave it")
	b.get("/admin/bulk?"+ask.Encode()+"&expected=12").wants(http.StatusOK, "Retry 12 jobs?") // a link asks, and never acts
	order := preview.order()
	if order.Get("expected") != "12" || len(order["kind"]) != 2 {
		t.Fatalf("the form has %v", order)
	}
	page := b.post("/admin/bulk", order).wants(http.StatusOK, "0 of 12 seen to", "queued", "kind mail.send, ai.chat")
	if !strings.HasPrefix(page.url.Path, "/admin/bulk/") {
		t.Fatalf("it leads to %s", page.url)
	}
	again := b.post("/admin/bulk", order).wants(http.StatusOK, "Nothing was begun a second time", "0 of 12 seen to")
	if again.url.Path != page.url.Path {
		t.Errorf("a second click leads to %s, and the first one to %s", again.url, page.url)
	}
	b.get("/admin/bulk").wants(http.StatusOK, "Retry 12 jobs", "queued")
	b.post(page.url.Path+"/stop", nil).wants(http.StatusOK, "It stops")
	order.Set("expected", "112")
	order.Set("token", "")
	b.post("/admin/bulk", order).wants(http.StatusConflict, "look at a new preview")
	b.post("/admin/bulk", url.Values{"action": {"delete"}}).wants(http.StatusUnprocessableEntity, "/filter/status")
	b.post("/admin/bulk", url.Values{"action": {"delete"}, "status": {"failed"}, "created_after": {"soon"}}).wants(http.StatusUnprocessableEntity, "time")
	b.get("/admin/audit?target=bulk").wants(http.StatusOK, "bulk.retry", "bulk.stop", "refused")
}

func TestReadOnlyOperatorsActOnNoFailures(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.troubles(2)
	b := g.readOnly()
	b.get("/admin/failures").wants(http.StatusOK).lacks("Retry all")
	b.get("/admin/failures/" + someCause).wants(http.StatusOK).lacks("Retry all")
	b.post("/admin/bulk", url.Values{"action": {"retry"}, "status": {"failed"}, "expected": {"2"}}).wants(http.StatusForbidden)
	b.post("/admin/bulk", url.Values{"action": {"retry"}, "status": {"failed"}}).wants(http.StatusForbidden)
	var n int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM bulk_actions`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d bulk actions, %v", n, err)
	}
	g.admin().get("/admin/audit?action=admin.presume").wants(http.StatusOK, "refused")
	b.get("/admin/failures?window=1h&kind=none").wants(http.StatusOK, "No failure matches")
}

// What the page of failures is narrowed to narrows what its lines lead to, and the preview says whose jobs they are.
func TestFailuresOfOneOrganizationAreRetriedAlone(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.troubles(3)
	org := uuid.NewString()
	g.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Narrow', 'KA')`, org)
	g.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, attempt, finished_at)
		SELECT $1, gen_random_uuid(), kind, queue, status, max_attempts, input, error, gen_random_uuid(), attempt, finished_at FROM jobs LIMIT 2`, org)
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint)
		SELECT organization_id, id, kind, queue, 1, 3, 'failed', 'x', 'x', $2 FROM jobs WHERE organization_id = $1`, org, someCause)
	b := g.admin()
	retry := func(page *shown) *shown {
		t.Helper()
		for _, form := range page.find("form") {
			if attribute(form, "action") == "/admin/bulk" {
				fields := url.Values{}
				for n := range form.Descendants() {
					if n.Data == "input" {
						fields.Add(attribute(n, "name"), attribute(n, "value"))
					}
				}
				return b.post("/admin/bulk", fields)
			}
		}
		t.Fatalf("%s offers no retry", page.url)
		return nil
	}
	all := b.get("/admin/failures?queue=mail").wants(http.StatusOK)
	retry(all).wants(http.StatusOK, "Retry 5 jobs?", "Organizations 2")
	narrow := b.get("/admin/failures?organization_id=" + org).wants(http.StatusOK)
	preview := retry(narrow).wants(http.StatusOK, "Retry 2 jobs?", "Organization Narrow , and no other")
	if order := preview.order(); order.Get("organization_id") != org {
		t.Errorf("it is confirmed for organization %q", order.Get("organization_id"))
	}
	for want, page := range map[int]*shown{5: all, 2: narrow} {
		boxes := 0
		for _, input := range b.get(page.link(strconv.Itoa(want))).wants(http.StatusOK).find("input") {
			if attribute(input, "name") == "id" && attribute(input, "type") == "checkbox" {
				boxes++
			}
		}
		if boxes != want {
			t.Errorf("%s: its number of failed jobs leads to %d, want %d", page.url, boxes, want)
		}
	}
}
