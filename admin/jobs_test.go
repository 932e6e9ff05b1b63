package admin

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/payaid/payaid/api"
)

// asked has a kind that clients may submit.
func asked(c *api.Config) {
	c.Kinds = append(c.Kinds, api.Kind{Name: "ai.completion", Queue: "ai", Scope: "jobs", Share: 10, MaxAttempts: 3,
		Schema: []byte(`{"type":"object","properties":{"prompt":{"type":"string"}},"required":["prompt"]}`)})
}

// hostileJob makes a job that failed, all of whose texts are hostile, of an organization with a hostile name.
func (g *rig) hostileJob(status string) (org, id string) {
	g.t.Helper()
	org, id = uuid.NewString(), uuid.Must(uuid.NewV7()).String()
	g.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, $2, 'KA')`, org, hostile)
	g.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, metadata, error, waiting_reason, event_id, request_id, created_at, finished_at, run_at)
		VALUES ($1, $2, 'ai.completion', $3, $4, 3, $5, $5, CASE WHEN $4 = 'failed' THEN $5::jsonb END, CASE WHEN $4 = 'queued' THEN $3 END,
		gen_random_uuid(), $3, now(), CASE WHEN $4 = 'failed' THEN now() END, now())`,
		org, id, hostile, status, `{"code":`+quoted(hostile)+`,"detail":`+quoted(hostile)+`,"prompt":`+quoted(hostile)+`,"n":12345678901234567890,"big":"`+strings.Repeat("x", 1<<20)+`"}`)
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, worker, outcome, code, error, fingerprint, log)
		VALUES ($1, $2, 'ai.completion', 'ai', 1, 1, $3, 'failed', $3, $3, '0123456789abcdef', $4)`, org, id, hostile,
		`[{"at":"2026-01-01T00:00:00Z","level":"ERROR","message":`+quoted(hostile)+`,"attrs":{"x":`+quoted(hostile)+`}}]`)
	g.exec(`INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt, receipt) VALUES ($1, $2, $3, 'done', 1, $4)`, org, id, hostile, quoted(hostile))
	return org, id
}

func TestHostileJobsAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	_, id := g.hostileJob("failed")
	_, waits := g.hostileJob("queued")
	b := g.admin()
	for _, path := range []string{"/admin/jobs", "/admin/jobs?status=failed", "/admin/jobs?error=" + url.QueryEscape(hostile), "/admin/jobs?kind=" + url.QueryEscape(hostile),
		"/admin/jobs/" + id, "/admin/jobs/" + waits, "/admin/jobs/" + id + "/again", "/admin/jobs/new?kind=ai.completion&organization_id=" + url.QueryEscape(hostile)} {
		b.get(path).wants(200).inert()
	}
	b.get("/admin/jobs/"+id).wants(200, "Log, 1 lines", "ERROR "+hostile).lacks("12345678901234567890", "xxxxxxxx")
	b.post("/admin/jobs/"+id+"/reveal", nil).wants(200, "12345678901234567890").inert()
	b.post("/admin/jobs/"+id+"/again", url.Values{"kind": {"ai.completion"}, "input": {hostile}, "priority": {"normal"}}).wants(422, "is not JSON").inert()
}

func TestWhatIsDoneToJobsByPages(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	org, id := g.hostileJob("failed")
	b := g.admin()
	b.post("/admin/jobs/"+id+"/do/retry", nil).wants(200, "queued", "The job is retried.")
	b.post("/admin/jobs/selected", url.Values{"action": {"cancel"}, "id": {id, uuid.NewString()}}).wants(200, "1 of 2 jobs cancelled")
	b.get("/admin/jobs?status=cancelled").wants(200, "ai.completion")
	b.post("/admin/jobs/new", url.Values{"kind": {"ai.completion"}, "organization_id": {org}, "input": {`{"prompt":"x"}`}, "priority": {"high"}}).wants(200)
	b.post("/admin/jobs/new", url.Values{"kind": {"ai.completion"}, "organization_id": {uuid.NewString()}, "input": {`{"prompt":"x"}`}, "priority": {"high"}}).wants(422, "there is no such organization")
	b.post("/admin/views", url.Values{"name": {"Cancelled <b>"}, "query": {"status=cancelled"}}).wants(200)
	b.get("/admin/jobs").wants(200, "★ Cancelled <b>").inert()
	b.post("/admin/jobs/"+id+"/do/delete", nil).wants(200)
	b.get("/admin/jobs/" + id).wants(404)
	b.get("/admin/audit?target=job").wants(200, "job.retry", "job.cancel", "job.delete", "job.new")
	b.get("/admin/jobs/export?status=queued").wants(200, "ai.completion")
}

func TestWhoMayLookActsOnNoJob(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	_, id := g.hostileJob("failed")
	b := g.readOnly()
	b.get("/admin/jobs").wants(200).lacks("New job", "Keep this view", "Select job")
	b.get("/admin/jobs/"+id).wants(200).lacks("Show content", "Run again")
	b.get("/admin/jobs/" + id + "/again").wants(403)
	b.get("/admin/jobs/" + id + "/events").wants(403)
	for path, form := range map[string]url.Values{
		"/admin/jobs/" + id + "/do/retry": nil, "/admin/jobs/" + id + "/do/delete": nil, "/admin/jobs/" + id + "/reveal": nil,
		"/admin/jobs/" + id + "/change": {"priority": {"high"}}, "/admin/jobs/selected": {"action": {"retry"}, "id": {id}},
		"/admin/views": {"name": {"x"}, "query": {""}}, "/admin/jobs/new": {"kind": {"ai.completion"}, "organization_id": {uuid.NewString()}, "input": {"{}"}, "priority": {"high"}},
	} {
		b.post(path, form).wants(403)
	}
}

// The links for all that match name the filters, each for itself.
func TestLinksOfAListKeepItsFilters(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	links := 0
	for _, a := range g.admin().get("/admin/jobs?status=failed&kind=a%26b").wants(http.StatusOK).find("a") {
		to, err := url.Parse(attribute(a, "href"))
		if err != nil || to.Path != "/admin/jobs/export" && to.Path != "/admin/bulk" {
			continue
		}
		links++
		if q := to.Query(); q.Get("status") != "failed" || q.Get("kind") != "a&b" {
			t.Errorf("%s leads to %s", textOf(a), to)
		}
	}
	if links < 2 {
		t.Errorf("there are %d links", links)
	}
}

// What a list offers to do with all that match it concerns those and no others.
func TestWhatIsOfferedForAListKeepsItsFilters(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hostileJob("failed")
	b := g.admin()
	b.post("/admin/views", url.Values{"name": {"what failed"}, "query": {"status=failed&kind=ai.chat"}}).wants(http.StatusOK)
	seen := map[string]int{}
	for _, a := range b.get("/admin/jobs?status=failed&kind=ai.chat").wants(http.StatusOK).find("a") {
		to, err := url.Parse(attribute(a, "href"))
		if err != nil {
			t.Fatal(err)
		}
		view := to.Path == "/admin/jobs" && strings.HasPrefix(textOf(a), "★")
		if !view && to.Path != "/admin/jobs/export" && to.Path != "/admin/bulk" {
			continue
		}
		seen[to.Path]++
		if q := to.Query(); q.Get("status") != "failed" || q.Get("kind") != "ai.chat" {
			t.Errorf("%s leads to %s", textOf(a), to)
		}
		b.get(to.String()).wants(http.StatusOK)
	}
	if seen["/admin/jobs"] != 1 || seen["/admin/jobs/export"] != 2 || seen["/admin/bulk"] != 3 {
		t.Errorf("it offers %v", seen)
	}
}

// What can't be taken back is asked about first, also of jobs that were selected in the list.
func TestActsOnSelectedJobsAreAskedAbout(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hostileJob("failed")
	asked := map[string]bool{}
	for _, button := range g.admin().get("/admin/jobs").wants(http.StatusOK).find("button") {
		if attribute(button, "name") != "action" {
			continue
		}
		inDetails, inForm := false, ""
		for n := range button.Ancestors() {
			inDetails = inDetails || n.Data == "details" && attribute(n, "class") == "confirm"
			if n.Data == "form" {
				inForm = attribute(n, "action")
			}
		}
		asked[attribute(button, "value")] = inDetails
		if inForm != "/admin/jobs/selected" {
			t.Errorf("%s is a button of %q, which has no boxes", textOf(button), inForm)
		}
	}
	if want := map[string]bool{"retry": false, "cancel": true, "delete": true}; !maps.Equal(asked, want) {
		t.Errorf("it asks %v, want %v", asked, want)
	}
}

// Of a list that begins with the oldest, what comes next is newer.
func TestPagesOfAListSayWhereTheyLead(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.filteredJobs()
	b := g.admin()
	for order, labels := range map[string][2]string{"newest": {"Older", "Newest"}, "oldest": {"Newer", "Oldest"}} {
		first := "/admin/jobs?limit=10&order=" + order + "&sort=requested&status=failed"
		next := b.get(first).wants(http.StatusOK).link(labels[0])
		if next == "" {
			t.Errorf("%s first: there is no page %q", order, labels[0])
			continue
		}
		if back := b.get(next).wants(http.StatusOK).link(labels[1]); back != first {
			t.Errorf("%s first: %q leads to %q", order, labels[1], back)
		}
	}
}

func TestAttemptsSayHowLongTheyTook(t *testing.T) {
	t.Parallel()
	g := newRig(t, asked)
	org, id := g.hostileJob("failed") // with an attempt of which nobody knows when it began
	g.exec(`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, fingerprint, started_at, ended_at)
		SELECT $1, $2, 'ai.completion', 'ai', 2, n, 'failed', '0123456789abcdef', now() - took, now()
		FROM (VALUES (1, interval '1500 ms'), (2, interval '-3 ms')) AS a (n, took)`, org, id)
	column, took := -1, []string{}
	for _, row := range g.admin().get("/admin/jobs/" + id).wants(http.StatusOK).find("tr") {
		var cells []string
		for cell := range row.ChildNodes() {
			if cell.Type == html.ElementNode {
				cells = append(cells, textOf(cell))
			}
		}
		switch i := slices.Index(cells, "Took"); {
		case i >= 0:
			column = i
		case column >= 0 && len(took) < 3:
			took = append(took, cells[column])
		}
	}
	if want := []string{"0 ms", "1.5 s", "–"}; !slices.Equal(took, want) {
		t.Errorf("the attempts took %q, want %q", took, want)
	}
}
