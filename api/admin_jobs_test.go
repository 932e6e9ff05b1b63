package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/payaid/payaid/operator"
)

func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
}

// adminJobs lists jobs as the operator.
func (g *rig) adminJobs(t *testing.T, query string) operator.JobList {
	t.Helper()
	var list operator.JobList
	g.call(t, testAdminKey, "GET", "/api/admin/jobs?"+query, "").want(200).json(&list)
	return list
}

func (g *rig) adminJob(t *testing.T, id string) operator.JobDetail {
	t.Helper()
	var d operator.JobDetail
	g.call(t, testAdminKey, "GET", "/api/admin/jobs/"+id, "").want(200).json(&d)
	return d
}

// internal makes a job of River's that no client knows of.
func (g *rig) internal(t *testing.T, state string) string {
	t.Helper()
	ended := "NULL"
	if state == "completed" || state == "discarded" || state == "cancelled" {
		ended = "now()"
	}
	return fmt.Sprint(g.count(t, `INSERT INTO river_job (state, max_attempts, attempt, args, kind, queue, finalized_at, errors)
		VALUES ('`+state+`', 3, 1, '{"organization_id": "0197aaaa-0000-7000-8000-00000000000a", "tags": ["x"]}', 'cache.invalidate', 'cache', `+ended+`,
		ARRAY['{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": "it broke", "trace": "main.go:1"}'::jsonb]) RETURNING id`))
}

// routed is River's row of a job, as the router makes it.
func (g *rig) routed(t *testing.T, org, id, state string) {
	t.Helper()
	g.execute(t, `INSERT INTO river_job (state, max_attempts, args, kind, queue, priority)
		VALUES ($3::river_job_state, 3, jsonb_build_object('job_id', $2::text, 'organization_id', $1::text, 'run', 1), 'ai.completion', 'ai', 2)`, org, id, state)
}

const secretPrompt = `{"kind":"ai.completion","input":{"prompt":"the secret of Acme","n":12345678901234567890},"metadata":{"mine":"secret too"}}`

func TestAdminListsJobsOfAllWithoutContent(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	_, other := g.organization(t)
	a, b := g.submit(t, key, secretPrompt), g.submit(t, other, `{"kind":"mail.send","input":{}}`)
	g.internal(t, "completed")
	broken := g.internal(t, "discarded")
	list := g.adminJobs(t, "")
	if len(list.Data) != 3 || list.HasMore || list.NextCursor != nil || list.SearchedUntil != nil {
		t.Fatalf("got %+v", list)
	}
	byID := map[string]operator.Job{}
	for _, j := range list.Data {
		byID[j.ID] = j
	}
	if j := byID[a.ID]; j.Kind != "ai.completion" || j.Status != "queued" || j.Priority != "normal" || j.OrganizationName == nil || *j.OrganizationName != "Acme" || j.Internal {
		t.Errorf("got %+v", j)
	}
	if j := byID[broken]; !j.Internal || j.Status != "failed" || j.RiverState == nil || *j.RiverState != "discarded" || j.ErrorDetail == nil || *j.ErrorDetail != "it broke" {
		t.Errorf("got %+v", j)
	}
	for query, want := range map[string]int{"kind=mail.send,ai.completion": 2, "status=failed": 1, "queue=cache&routine=show": 2, "id=" + b.ID: 1, "id=nothing": 0, "id=" + broken: 1,
		"sort=internal&routine=show": 2, "sort=requested": 2, "error=IT%20broke&sort=internal": 1, "text=secret": 1, "order=oldest": 3, "priority=high": 1} {
		if got := g.adminJobs(t, query); len(got.Data) != want {
			t.Errorf("%s: %d jobs, want %d", query, len(got.Data), want)
		}
	}
	for _, path := range []string{"/api/admin/jobs", "/api/admin/jobs/" + a.ID, "/api/admin/jobs/export", "/api/admin/jobs/export?format=ndjson"} {
		if body := string(g.call(t, testAdminKey, "GET", path, "").want(200).body); strings.Contains(body, "secret") {
			t.Errorf("%s shows what is hidden: %s", path, body)
		}
	}
	first := g.adminJobs(t, "limit=2")
	second := g.adminJobs(t, "limit=2&cursor="+*first.NextCursor)
	if len(first.Data) != 2 || len(second.Data) != 1 || second.HasMore || second.Data[0].ID == first.Data[1].ID {
		t.Errorf("pages of %d and %d", len(first.Data), len(second.Data))
	}
	g.call(t, testAdminKey, "GET", "/api/admin/jobs?status=failed&cursor="+*first.NextCursor, "").problem(400, "invalid_cursor")
	for _, cursor := range []string{"x", "AAAA", "AAAAAAAAAAAAAAAA"} {
		g.call(t, testAdminKey, "GET", "/api/admin/jobs?cursor="+cursor, "").problem(400, "invalid_cursor")
	}
	for _, query := range []string{"status=lost", "organization_id=x", "priority=urgent", "created_after=yesterday", "sort=some"} {
		name, _, _ := strings.Cut(query, "=")
		g.call(t, testAdminKey, "GET", "/api/admin/jobs?"+query, "").problem(422, "validation_failed", "/query/"+name)
	}
}

func TestAdminActsOnJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	act := func(method, id, what, body string) *reply {
		return g.call(t, testAdminKey, method, "/api/admin/jobs/"+id+what, body)
	}
	j := g.submit(t, key, aCompletion)
	act("POST", j.ID, "/retry", "").problem(409, "conflict")
	act("DELETE", j.ID, "", "").problem(409, "conflict")
	act("POST", j.ID, "/cancel", "").want(200)
	if d := g.adminJob(t, j.ID); d.Status != "cancelled" || fmt.Sprint(d.Actions) != "[retry delete again]" {
		t.Errorf("after it was cancelled: %s, %v", d.Status, d.Actions)
	}
	act("POST", j.ID, "/retry", "").want(200)
	if d := g.adminJob(t, j.ID); d.Status != "queued" || d.Run != 2 {
		t.Errorf("after it was tried again: %+v", d)
	}
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE type = 'job.requested' AND organization_id = '`+org+`'`); n != 2 {
		t.Errorf("%d facts say that the job was requested, want 2", n)
	}
	act("POST", j.ID, "/cancel", "").want(200)
	act("DELETE", j.ID, "", "").want(204)
	act("GET", j.ID, "", "").problem(404, "not_found")
	act("POST", j.ID, "/retry", "").problem(404, "not_found")

	entries := g.audit(t, "?target=job&target_id="+j.ID)
	var acts []string
	for i := len(entries) - 1; i >= 0; i-- {
		acts = append(acts, entries[i].Action+" "+entries[i].Outcome)
	}
	want := "[job.retry refused job.delete refused job.cancel done job.retry done job.cancel done job.delete done job.retry refused]"
	if fmt.Sprint(acts) != want {
		t.Errorf("the audit log has %v, want %s", acts, want)
	}
	last := entries[len(entries)-3]
	if !strings.Contains(string(last.Before), `"queued"`) || !strings.Contains(string(last.After), `"cancelled"`) || last.OrganizationID == nil || *last.OrganizationID != org {
		t.Errorf("noted %s to %s of %v", last.Before, last.After, last.OrganizationID)
	}
}

func TestAdminActsOnInternalJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	state := func(id string) string { return *g.adminJob(t, id).RiverState }
	broken, waits, runs := g.internal(t, "discarded"), g.internal(t, "retryable"), g.internal(t, "running")
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+broken+"/retry", "").want(200)
	if got := state(broken); got != "available" {
		t.Errorf("after it was tried again: %s", got)
	}
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+broken+"/retry", "").problem(409, "conflict")
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+waits+"/cancel", "").want(200)
	if got := state(waits); got != "cancelled" {
		t.Errorf("after it was cancelled: %s", got)
	}
	g.call(t, testAdminKey, "DELETE", "/api/admin/jobs/"+runs, "").problem(409, "conflict")
	g.call(t, testAdminKey, "DELETE", "/api/admin/jobs/"+waits, "").want(204)
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+broken+"/again", "{}").want(422)
	// River lets one of two with the same key be under way.
	twin := g.internal(t, "discarded")
	g.execute(t, `UPDATE river_job SET unique_key = '\x01', unique_states = B'11111111' WHERE id = $1`, broken)
	g.execute(t, `UPDATE river_job SET unique_key = '\x01', unique_states = B'11110101' WHERE id = $1`, twin)
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+twin+"/retry", "").problem(409, "conflict")
	d := g.adminJob(t, twin)
	if len(d.Attempts) != 1 || d.Attempts[0].Trace == nil || *d.Attempts[0].Trace != "main.go:1" || d.Content.Args == 0 {
		t.Errorf("got %+v", d.Attempts)
	}
}

func TestAdminChangesWhenAJobGoesOn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	j := g.submit(t, key, aCompletion)
	path := "/api/admin/jobs/" + j.ID
	g.call(t, testAdminKey, "PATCH", path, `{"priority":"high"}`).problem(409, "conflict") // nobody has routed it
	g.routed(t, org, j.ID, "available")
	g.call(t, testAdminKey, "PATCH", path, `{"priority":"high","run_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`).want(200)
	if d := g.adminJob(t, j.ID); d.Priority != "high" || d.Status != "scheduled" || *d.RiverState != "scheduled" {
		t.Errorf("got %s, %s, %s", d.Priority, d.Status, *d.RiverState)
	}
	if n := g.count(t, `SELECT count(*) FROM river_job WHERE priority = 1 AND scheduled_at > now()`); n != 1 {
		t.Error("River knows nothing of it")
	}
	g.call(t, testAdminKey, "PATCH", path, `{"run_at":null}`).want(200)
	if d := g.adminJob(t, j.ID); d.Status != "queued" || *d.RiverState != "available" {
		t.Errorf("got %s, %s", d.Status, *d.RiverState)
	}
	g.call(t, testAdminKey, "PATCH", path, `{}`).problem(422, "validation_failed", "")
	g.call(t, testAdminKey, "PATCH", path, `{"priority":"last"}`).problem(422, "validation_failed", "/priority")
	g.call(t, testAdminKey, "PATCH", path, `{"run_at":"2999-01-01T00:00:00Z"}`).problem(422, "validation_failed", "/run_at")
	g.execute(t, `UPDATE jobs SET status = 'running' WHERE id = $1`, j.ID)
	g.execute(t, `UPDATE river_job SET state = 'running'`)
	g.call(t, testAdminKey, "PATCH", path, `{"run_at":null}`).problem(409, "conflict")
}

func TestAdminMakesJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	made := func(r *reply) operator.JobRef {
		var ref operator.JobRef
		r.want(202).json(&ref)
		return ref
	}
	first := made(g.call(t, testAdminKey, "POST", "/api/admin/jobs", `{"organization_id":"`+org+`","kind":"ai.completion","input":{"prompt":"hush","n":12345678901234567890},"priority":"high"}`))
	again := made(g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+first.ID+"/again", ""))
	edited := made(g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+first.ID+"/again", `{"input":{"prompt":"other"},"priority":"low"}`))
	for id, want := range map[string]string{first.ID: `{"n": 12345678901234567890, "prompt": "hush"}`, again.ID: `{"n": 12345678901234567890, "prompt": "hush"}`, edited.ID: `{"prompt": "other"}`} {
		j := g.call(t, key, "GET", "/api/jobs/"+id, "").want(200).job()
		var compact strings.Builder
		if got := string(j.Input); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: input %s, want %s%s", id, got, want, compact.String())
		}
	}
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE type = 'job.requested'`); n != 3 {
		t.Errorf("%d facts, want 3", n)
	}
	post := func(body string) *reply { return g.call(t, testAdminKey, "POST", "/api/admin/jobs", body) }
	post(`{"organization_id":"`+org+`","kind":"ai.completion","input":{}}`).problem(422, "validation_failed", "/input/prompt")
	post(`{"organization_id":"`+org+`","kind":"no.such","input":{}}`).problem(422, "unknown_kind", "/kind")
	post(`{"organization_id":"`+org+`","kind":"db.backup","input":{}}`).problem(422, "validation_failed", "/organization_id")
	post(`{"organization_id":"0197aaaa-0000-7000-8000-00000000000f","kind":"mail.send","input":{}}`).problem(422, "validation_failed", "/organization_id")
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+first.ID+"/again", `{"input":{"nonsense":1}}`).problem(422, "validation_failed", "/input/nonsense", "/input/prompt")
	if n := g.count(t, `SELECT count(*) FROM jobs`); n != 3 {
		t.Errorf("%d jobs, want 3: something was made of what was refused", n)
	}
	entries := g.audit(t, "?action=job.again")
	if len(entries) != 3 || strings.Contains(fmt.Sprint(entries), "hush") || entries[0].Outcome != "refused" {
		t.Errorf("noted %+v", entries)
	}
	var kinds operator.JobKindList
	g.call(t, testAdminKey, "GET", "/api/admin/jobs/kinds", "").want(200).json(&kinds)
	if len(kinds.Data) != 3 || string(kinds.Data[0].Example) != `{"prompt":""}` {
		t.Errorf("got %+v", kinds)
	}
}

func TestAdminRevealsAndNotesIt(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	j := g.submit(t, key, secretPrompt)
	var c operator.JobContent
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+j.ID+"/reveal", "").want(200).json(&c)
	if !strings.Contains(string(c.Input), "12345678901234567890") || !strings.Contains(string(c.Metadata), "secret too") {
		t.Errorf("got %s, %s", c.Input, c.Metadata)
	}
	entries := g.audit(t, "?action=job.reveal")
	if len(entries) != 1 || entries[0].TargetID != j.ID || strings.Contains(string(entries[0].After), "secret") {
		t.Errorf("noted %+v", entries)
	}
	looker := g.key(t, testAdminKey, "admin_read")
	for _, path := range []string{"POST /reveal", "POST /retry", "POST /cancel", "POST /again", "PATCH ", "DELETE ", "GET /events"} {
		method, what, _ := strings.Cut(path, " ")
		body := ""
		if method == "PATCH" {
			body = `{"priority":"high"}`
		}
		g.call(t, looker, method, "/api/admin/jobs/"+j.ID+what, body).problem(403, "forbidden")
	}
	g.call(t, looker, "GET", "/api/admin/jobs/"+j.ID, "").want(200)
	// Whether a text is in what is hidden is a part of it.
	for _, path := range []string{"/api/admin/jobs?text=a", "/api/admin/jobs/export?text=a"} {
		g.call(t, looker, "GET", path, "").problem(403, "forbidden")
		g.call(t, testAdminKey, "GET", path, "").want(200)
	}
	g.call(t, looker, "POST", "/api/admin/jobs", `{}`).problem(403, "forbidden")
	g.call(t, looker, "POST", "/api/admin/views", `{}`).problem(403, "forbidden")
	g.call(t, key, "GET", "/api/admin/jobs", "").problem(403, "forbidden")
	g.call(t, testAdminKey, "POST", "/api/admin/jobs/"+j.ID+"/cancel", "").want(200)
	stream := string(g.call(t, testAdminKey, "GET", "/api/admin/jobs/"+j.ID+"/events", "").want(200).body)
	if !strings.Contains(stream, "event: done") {
		t.Errorf("the stream is %s", stream)
	}
	// Whatever somebody claims to have seen.
	if again := string(g.call(t, testAdminKey, "GET", "/api/admin/jobs/"+j.ID+"/events?last_event_id=0", "").want(200).body); !strings.Contains(again, "event: done") {
		t.Errorf("the stream from 0 on is %s", again)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/jobs/"+j.ID+"/events", "", "Last-Event-ID", "1").want(200)
	if entries := g.audit(t, "?action=job.follow"); len(entries) != 3 || *entries[0].OrganizationID != org {
		t.Errorf("following was noted as %+v", entries)
	}
}

func TestAdminCountsJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	g.submit(t, key, aCompletion)
	g.submit(t, key, `{"kind":"mail.send","input":{},"run_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	gone := g.submit(t, key, aCompletion)
	g.call(t, key, "POST", "/api/jobs/"+gone.ID+"/cancel", "").want(200)
	g.internal(t, "retryable")
	g.internal(t, "completed")
	g.internal(t, "discarded")
	var c operator.JobCounts
	g.call(t, testAdminKey, "GET", "/api/admin/jobs/counts", "").want(200).json(&c)
	got := map[string]int64{}
	for _, n := range c.Statuses {
		got[n.Status] = n.Count
		if n.Exact == (n.Status == "succeeded") || n.More {
			t.Errorf("%+v", n)
		}
	}
	if fmt.Sprint(got) != "map[cancelled:1 failed:1 queued:1 running:0 scheduled:1 succeeded:0 waiting:1]" {
		t.Errorf("got %v", got)
	}
	if len(c.Kinds) != 3 || time.Since(c.AsOf) > time.Minute {
		t.Errorf("got %+v", c)
	}
}

func TestAdminExportsJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for range 5 {
		g.submit(t, key, aCompletion)
	}
	g.execute(t, `UPDATE jobs SET status = 'failed', finished_at = now(), error = '{"code":"x","detail":"=cmd(), \"quoted\""}'`)
	r := g.call(t, testAdminKey, "GET", "/api/admin/jobs/export?status=failed", "").want(200)
	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	if err != nil || len(rows) != 6 || rows[1][17] != `'=cmd(), "quoted"` || !strings.Contains(r.header.Get("Content-Disposition"), ".csv") {
		t.Errorf("got %v, %v", rows, err)
	}
	lines := strings.Split(strings.TrimSpace(string(g.call(t, testAdminKey, "GET", "/api/admin/jobs/export?format=ndjson", "").want(200).body)), "\n")
	var j operator.Job
	if len(lines) != 5 || json.Unmarshal([]byte(lines[4]), &j) != nil || j.Status != "failed" {
		t.Errorf("got %v", lines)
	}
	if r := g.call(t, testAdminKey, "GET", "/api/admin/jobs/export?status=nothing", ""); r.status != http.StatusUnprocessableEntity {
		t.Errorf("got %d", r.status)
	}
}

func TestAdminKeepsViews(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var v operator.View
	g.call(t, testAdminKey, "POST", "/api/admin/views", `{"page":"jobs","name":"What failed","query":"?status=failed&cursor=x"}`).want(201).json(&v)
	if v.Query != "status=failed" {
		t.Errorf("kept %q", v.Query)
	}
	g.call(t, testAdminKey, "POST", "/api/admin/views", `{"page":"jobs","name":"what FAILED","query":""}`).problem(409, "name_taken")
	g.call(t, testAdminKey, "POST", "/api/admin/views", `{"page":"jobs","name":"  ","query":""}`).problem(422, "validation_failed", "/name")
	var list operator.ViewList
	g.call(t, testAdminKey, "GET", "/api/admin/views", "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].ID != v.ID {
		t.Errorf("got %+v", list)
	}
	g.call(t, testAdminKey, "DELETE", "/api/admin/views/"+v.ID, "").want(204)
	g.call(t, testAdminKey, "DELETE", "/api/admin/views/"+v.ID, "").problem(404, "not_found")
	var found operator.OrganizationList
	g.organization(t)
	g.call(t, testAdminKey, "GET", "/api/admin/organizations?q=ACM", "").want(200).json(&found)
	if len(found.Data) != 1 || found.Data[0].Name != "Acme" {
		t.Errorf("got %+v", found)
	}
}
