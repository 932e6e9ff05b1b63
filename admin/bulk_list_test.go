package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// filteredJobs makes 36 jobs of ours that failed and 12 internal ones, such that every filter of the list lets through
// a number of its own.
func (g *rig) filteredJobs() (org string) {
	g.t.Helper()
	org = uuid.NewString()
	g.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Filtered', 'KA'), (gen_random_uuid(), 'Other', 'GA')`, org)
	g.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, priority, input, metadata, error, event_id, request_id, attempt, created_at, run_at, finished_at)
		SELECT CASE WHEN i <= 11 THEN $1 ELSE (SELECT o.id FROM organizations o WHERE o.name = 'Other') END,
			(lpad(to_hex((extract(epoch FROM now() - make_interval(hours => i)) * 1000)::bigint), 12, '0') || '70008000' || lpad(i::text, 12, '0'))::uuid, CASE WHEN i <= 3 THEN 'mail.send' WHEN i <= 7 THEN 'pdf.render' ELSE 'ai.completion' END,
			CASE WHEN i <= 3 THEN 'mail' WHEN i <= 7 THEN 'pdf' ELSE 'ai' END, 'failed', 3, CASE WHEN i <= 5 THEN 1 ELSE 2 END,
			CASE WHEN i <= 6 THEN '{"prompt":"Needle, & <hay>"}'::jsonb ELSE '{}' END, '{}',
			jsonb_build_object('code', 'timeout', 'detail', CASE WHEN i <= 9 THEN 'the blue door, 50% & more' ELSE 'closed' END),
			CASE WHEN i = 1 THEN $2::uuid ELSE gen_random_uuid() END, CASE WHEN i <= 2 THEN 'req_filtered' END, 3,
			now() - make_interval(hours => i), now(), now() - make_interval(mins => i)
		FROM generate_series(1, 36) AS i`, org, someEvent)
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint)
		SELECT organization_id, id, kind, queue, 1, 3, 'failed', 'timeout', 'x', $1 FROM jobs WHERE priority = 2 AND kind <> 'ai.completion'`, someCause)
	g.exec(`INSERT INTO river_job (kind, queue, args, state, max_attempts, attempt, errors, created_at, scheduled_at, attempted_at, finalized_at)
		SELECT 'cache.invalidate', 'cache', '{}', 'discarded', 3, 3, ARRAY['{"error":"no redis"}'::jsonb], now(), now(), now(), now() FROM generate_series(1, 12) AS i`)
	return org
}

func hoursAgo(h float64) string {
	return time.Now().Add(-time.Duration(h * float64(time.Hour))).UTC().Format("2006-01-02T15:04:05")
}

// order is the form of a preview, without some of its fields.
func (p *shown) order(without ...string) url.Values {
	form := url.Values{}
	for _, input := range p.find("input") {
		name := attribute(input, "name")
		if attribute(input, "type") == "hidden" && name != "theme" && !slices.Contains(without, name) {
			form.Add(name, attribute(input, "value"))
		}
	}
	return form
}

const someEvent = "0197dddd-0000-7000-8000-000000000001"

// What the list of jobs was narrowed by narrows what is done to all that match: one filter that got lost on the way
// would act on jobs that nobody looked at.
func TestEveryFilterOfTheListNarrowsABulkAction(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org := g.filteredJobs()
	b := g.admin()
	for _, c := range []struct {
		filter string
		want   int
	}{
		{"", 48},
		{"kind=mail.send", 3},
		{"kind=mail.send,pdf.render", 7},
		{"kind=mail.send&kind=pdf.render", 7},
		{"queue=pdf", 4},
		{"priority=high", 5 + 12},
		{"organization_id=" + org, 11},
		{"error=" + url.QueryEscape("BLUE door, 50% & "), 9},
		{"text=" + url.QueryEscape("needle, & <hay>"), 6},
		{"request_id=req_filtered", 2},
		{"event_id=" + someEvent, 1},
		{"fingerprint=" + someCause, 2},
		{"sort=requested", 36},
		{"sort=internal", 12},
		{"routine=show", 48},
		{"order=oldest", 48},
		{"sort=requested&created_after=" + hoursAgo(10.5), 10},
		{"sort=requested&created_before=" + hoursAgo(30.5), 6},
		{"sort=requested&finished_after=" + hoursAgo(20.5/60), 20},
		{"sort=requested&finished_before=" + hoursAgo(20.5/60), 16},
		{"queue=ai&organization_id=" + org + "&error=blue", 2},
	} {
		list := b.get("/admin/jobs?limit=100&status=failed&" + c.filter).wants(200)
		boxes := 0
		for _, input := range list.find("input") {
			if attribute(input, "name") == "id" && attribute(input, "type") == "checkbox" {
				boxes++
			}
		}
		if boxes != c.want {
			t.Errorf("%s: the list has %d jobs, want %d", c.filter, boxes, c.want)
		}
		to := list.link("Retry…")
		if to == "" {
			t.Errorf("%s: the list leads to no bulk action", c.filter)
			continue
		}
		preview := b.get(to).wants(200, fmt.Sprintf("Retry %d jobs?", c.want))
		// What is sent on by confirming it finds the same, and so does the list that it links to.
		b.post("/admin/bulk", preview.order("expected", "token")).wants(200, fmt.Sprintf("Retry %d jobs?", c.want))
	}
}

// What narrows the list and no bulk action is refused, not left out.
func TestABulkActionIsNeverWiderThanTheList(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.filteredJobs()
	b := g.admin()
	if to := b.get("/admin/jobs?kind=mail.send").wants(200, "choose a state first").link("Retry…"); to != "" {
		t.Errorf("without a state one is led to %s", to)
	}
	var id string
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT id::text FROM jobs LIMIT 1`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if to := b.get("/admin/jobs?status=failed&id=" + id).wants(200).link("Retry…"); to != "" {
		t.Errorf("from one job one is led to %s", to)
	}
	for _, strange := range []string{"id=" + id, "worker=w1", "Kind=x"} {
		b.get("/admin/bulk?action=delete&status=failed&"+strange).wants(422, "Many jobs can't be chosen by")
		form, _ := url.ParseQuery("action=delete&status=failed&expected=48&" + strange)
		b.post("/admin/bulk", form).wants(422, "Many jobs can't be chosen by")
	}
	var n int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM bulk_actions`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d bulk actions, %v", n, err)
	}
}

// Exports and kept views ask what the list does.
func TestLinksOfTheListKeepItsFilters(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.filteredJobs()
	b := g.admin()
	const query = "error=blue+door%2C+50%25+%26&kind=mail.send%2Cpdf.render&status=failed"
	list := b.get("/admin/jobs?" + query)
	if lines := strings.Count(b.get(list.link("Export JSON lines")).body, "\n"); lines != 7 {
		t.Errorf("%s gives %d jobs", list.link("Export JSON lines"), lines)
	}
	if lines := strings.Count(b.get(list.link("Export CSV")).body, "\n"); lines != 1+7 {
		t.Errorf("%s gives %d lines", list.link("Export CSV"), lines)
	}
	b.post("/admin/views", url.Values{"name": {"Doors"}, "query": {query}}).wants(200)
	if to := b.get("/admin/jobs").link("★ Doors"); to != "/admin/jobs?"+query {
		t.Errorf("the view leads to %s", to)
	}
}
