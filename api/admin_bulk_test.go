package api

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// failedJobs makes so many jobs of an organization that failed.
func (g *rig) failedJobs(t *testing.T, org string, n int) {
	t.Helper()
	g.execute(t, `INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, attempt, finished_at)
		SELECT $1, ('0197bbbb-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'ai.completion', 'ai', 'failed', 3, '{}',
			'{"code": "timeout", "detail": "y"}', gen_random_uuid(), 3, now() FROM generate_series(1, $2::int) AS i`, org, n)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	g.failedJobs(t, org, 120)
	g.execute(t, `UPDATE jobs SET status = 'succeeded', error = NULL WHERE id::text LIKE '%1'`)

	var p operator.BulkPreview
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/preview", `{"action":"retry","filter":{"status":"failed","kind":["ai.completion"]}}`).want(200).json(&p)
	if p.Count != 108 || p.Acts != 108 || p.Capped || p.ByStatus["failed"] != 108 || p.ByKind["ai.completion"] != 108 || len(p.Skipped) > 0 ||
		len(p.Sample) != 10 || p.Sample[0].Kind != "ai.completion" || *p.Sample[0].ErrorCode != "timeout" {
		t.Errorf("preview %+v", p)
	}
	var wrong operator.BulkPreview
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/preview", `{"action":"cancel","filter":{"status":"failed"}}`).want(200).json(&wrong)
	if wrong.Acts != 0 || wrong.Skipped["ended"] != 108 || wrong.Sample[0].Reason != "ended" {
		t.Errorf("preview of what can't be done: %+v", wrong)
	}

	order := func(expected int, token string) string {
		return fmt.Sprintf(`{"action":"retry","filter":{"status":"failed","kind":["ai.completion"]},"expected":%d,"token":%q}`, expected, token)
	}
	r := g.call(t, testAdminKey, "POST", "/api/admin/bulk", order(108, p.Token)).want(202)
	var b operator.BulkAction
	r.json(&b)
	if r.header.Get("Location") != "/api/admin/bulk/"+b.ID || b.Status != "queued" || b.Total != 108 || b.Left != 108 ||
		b.AskedBy != "admin key of the configuration" || b.Filter.Status != "failed" || b.Over() {
		t.Errorf("bulk action %+v", b)
	}
	if facts := g.facts(t, b.ID); len(facts) != 1 || facts[0].typ != "admin.bulk_requested" {
		t.Errorf("facts %+v", facts)
	}
	if n := g.count(t, `SELECT count(*) FROM bulk_items WHERE outcome IS NULL AND status = 'failed' AND run = 1`); n != 108 {
		t.Errorf("%d jobs are written down", n)
	}
	var list operator.BulkList
	g.call(t, testAdminKey, "GET", "/api/admin/bulk?limit=1", "").want(200).json(&list)
	if len(list.Data) != 1 || list.Data[0].ID != b.ID || list.HasMore {
		t.Errorf("list %+v", list)
	}
	g.execute(t, `UPDATE bulk_items SET outcome = CASE WHEN n = 1 THEN 'failed' ELSE 'skipped' END, reason = CASE WHEN n = 1 THEN 'internal' ELSE 'gone' END WHERE n <= 8`)
	g.execute(t, `UPDATE bulk_actions SET position = 8, skipped = 7, failed = 1, reasons = '{"gone": 7, "internal": 1}'`)
	var report operator.BulkReport
	g.call(t, testAdminKey, "GET", "/api/admin/bulk/"+b.ID, "").want(200).json(&report)
	if len(report.Failures) != 1 || len(report.Skips) != 5 || report.Skips[0].Reason != "gone" || report.Left != 100 || report.Reasons["gone"] != 7 {
		t.Errorf("report %+v", report)
	}
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/"+b.ID+"/stop", "").want(200).json(&b)
	if b.StopRequestedAt == nil {
		t.Errorf("stopping: %+v", b)
	}
	g.execute(t, `UPDATE bulk_actions SET status = 'stopped', finished_at = now()`)
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/"+b.ID+"/stop", "").problem(409, "already_finished")
	g.call(t, testAdminKey, "GET", "/api/admin/bulk/"+org, "").problem(404, "not_found")

	var noted []string
	for _, e := range g.audit(t, "?target=bulk") {
		noted = append(noted, e.Action+" "+e.Outcome+" "+string(e.Before)+string(e.After))
	}
	if got := strings.Join(noted, "\n"); len(noted) != 3 || !strings.HasPrefix(got, "bulk.stop refused") ||
		!strings.Contains(got, "bulk.stop done {\"done\"") || !strings.Contains(got, `bulk.retry done null{"count":108`) {
		t.Errorf("the audit log has\n%s", got)
	}
}

// However often, and however fast, somebody clicks on one preview, one bulk action comes of it. Another preview of the
// same jobs is another question.
func TestAPreviewIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	g.failedJobs(t, org, 20)
	const about = `"action":"retry","filter":{"status":"failed"}`
	ask := func() (order string) {
		var p operator.BulkPreview
		g.call(t, testAdminKey, "POST", "/api/admin/bulk/preview", `{`+about+`}`).want(200).json(&p)
		return fmt.Sprintf(`{%s,"expected":%d,"token":%q}`, about, p.Count, p.Token)
	}
	order := ask()
	var clicks sync.WaitGroup
	answers := make([]*reply, 4)
	for i := range answers {
		clicks.Go(func() { answers[i] = g.call(t, testAdminKey, "POST", "/api/admin/bulk", order) })
	}
	clicks.Wait()
	begun := 0
	for _, r := range answers {
		if r.status == http.StatusAccepted {
			begun++
		} else {
			r.problem(409, "bulk_confirmed")
		}
	}
	if n := g.count(t, `SELECT count(*) FROM bulk_actions`); begun != 1 || n != 1 {
		t.Errorf("%d clicks are said to have begun something, and %d bulk actions are there", begun, n)
	}
	// Also when nothing matches any more, as the first has done its work.
	g.execute(t, `UPDATE jobs SET status = 'queued', error = NULL, finished_at = NULL`)
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", order).problem(409, "bulk_confirmed")
	g.execute(t, `UPDATE jobs SET status = 'failed', error = '{"code": "x"}', finished_at = now()`)
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", ask()).want(202)
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE type = 'admin.bulk_requested'`); n != 2 {
		t.Errorf("%d facts say that something was asked for, want 2", n)
	}
	if entries := g.audit(t, "?action=bulk.retry&outcome=refused"); len(entries) != 4 {
		t.Errorf("%d refusals are in the audit log, want 4", len(entries))
	}
}

// What is not what was looked at is refused, and nothing of it is done.
func TestBulkIsRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, client := g.organization(t)
	g.failedJobs(t, org, 120)
	_, watcher := g.readOnlyKey(t)
	var p operator.BulkPreview
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/preview", `{"action":"retry","filter":{"status":"failed"}}`).want(200).json(&p)
	order := `{"action":"retry","filter":{"status":"failed"},"expected":120}`
	for body, code := range map[string]string{
		strings.Replace(order, "120", "90", 1):                                       "bulk_changed",
		strings.Replace(order, "120", "0", 1):                                        "bulk_changed",
		strings.Replace(order, "120", `119,"token":"`+p.Token+`"`, 1):                "validation_failed",
		strings.Replace(order, "retry", "eat", 1):                                    "validation_failed",
		strings.Replace(order, `"status":"failed"`, "", 1):                           "validation_failed",
		strings.Replace(order, `"status"`, `"state"`, 1):                             "validation_failed",
		strings.Replace(order, `"failed"`, `"failed","organization_id":"x"`, 1):      "validation_failed",
		strings.Replace(order, `"failed"`, `"failed","fingerprint":"'--"`, 1):        "validation_failed",
		strings.Replace(order, `"failed"`, `"failed","created_after":"tomorrow"`, 1): "validation_failed",
	} {
		status := 422
		if code == "bulk_changed" {
			status = 409
		}
		g.call(t, testAdminKey, "POST", "/api/admin/bulk", body).problem(status, code)
	}
	for _, key := range []string{watcher, client} {
		g.call(t, key, "POST", "/api/admin/bulk", order).problem(403, "forbidden")
		g.call(t, key, "POST", "/api/admin/bulk/preview", `{"action":"retry","filter":{"status":"failed"}}`).problem(403, "forbidden")
	}
	g.call(t, watcher, "GET", "/api/admin/bulk", "").want(200)
	if n := g.count(t, `SELECT count(*) FROM bulk_actions`); n != 0 {
		t.Errorf("%d bulk actions were begun", n)
	}
	if entries := g.audit(t, "?action=bulk.retry&outcome=refused"); len(entries) != 5 {
		t.Errorf("%d refusals are in the audit log", len(entries))
	}
	// A few more or less is the way of the world.
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", strings.Replace(order, "120", "112", 1)).want(202)
}

// What ended after somebody looked is not deleted: nobody has seen it, and nobody can bring it back.
func TestBulkDeletesWhatWasPreviewed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	g.failedJobs(t, org, 20)
	const about = `"action":"delete","filter":{"status":"failed"}`
	var p operator.BulkPreview
	g.call(t, testAdminKey, "POST", "/api/admin/bulk/preview", `{`+about+`}`).want(200).json(&p)
	g.execute(t, `UPDATE jobs SET finished_at = now() WHERE id::text LIKE '%1'`) // 2 were tried again, and failed
	g.execute(t, `INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, error, event_id, finished_at)
		SELECT organization_id, gen_random_uuid(), kind, queue, status, max_attempts, input, error, gen_random_uuid(), now() FROM jobs LIMIT 5`)
	var b operator.BulkAction
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", fmt.Sprintf(`{%s,"expected":20,"token":%q}`, about, p.Token)).want(202).json(&b)
	if b.Total != 18 {
		t.Errorf("%d jobs are to be deleted, want the 18 that were looked at and stand as they did", b.Total)
	}
	if n := g.count(t, `SELECT count(*) FROM bulk_items i JOIN jobs j ON j.id = i.job_id WHERE i.job_id::text LIKE '0197bbbb%' AND i.job_id::text NOT LIKE '%1'`); n != 18 {
		t.Errorf("%d of them are written down", n)
	}
	// Without a token there is no such moment, and one more than expected is too many.
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", `{`+about+`,"expected":24}`).problem(409, "bulk_changed")
	g.call(t, testAdminKey, "POST", "/api/admin/bulk", `{`+about+`,"expected":25}`).want(202)
}

// What a list of jobs can be narrowed by, a bulk action can be, under the same name and within the same bounds. One job is
// no bulk, and in which order the jobs are shown is nothing to it.
func TestBulkActionsHaveTheFiltersOfTheList(t *testing.T) {
	t.Parallel()
	bulk := map[string]reflect.StructTag{}
	for f := range reflect.TypeFor[operator.BulkFilter]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		bulk[name] = f.Tag
	}
	for f := range reflect.TypeFor[AdminJobFilter]().Fields() {
		name := f.Tag.Get("query")
		tag, ok := bulk[name]
		delete(bulk, name)
		if name == "id" || name == "order" {
			continue
		}
		if !ok {
			t.Errorf("bulk actions have no filter %s", name)
		}
		for _, bound := range []string{"enum", "pattern", "maxItems"} {
			if f.Tag.Get(bound) != tag.Get(bound) {
				t.Errorf("%s of %s is %q in lists and %q in bulk actions", bound, name, f.Tag.Get(bound), tag.Get(bound))
			}
		}
		if f.Tag.Get("format") == "" && f.Tag.Get("maxLength") != tag.Get("maxLength") {
			t.Errorf("%s may be %s long in lists and %s in bulk actions", name, f.Tag.Get("maxLength"), tag.Get("maxLength"))
		}
	}
	for name := range bulk {
		t.Errorf("lists have no filter %s", name)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.organization(t)
	other, _ := g.organization(t)
	g.failedJobs(t, org, 6)
	g.execute(t, `UPDATE jobs SET status = 'queued', error = NULL, finished_at = NULL WHERE id::text LIKE '%1'`)
	g.execute(t, `UPDATE jobs SET status = 'succeeded', error = NULL WHERE id::text LIKE '%2'`)
	const fail = `INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, ended_at)
		SELECT organization_id, id, kind, queue, 1, $1::int, $2, 'timeout', 'took ' || $1::int || 's', '00000000000000aa', now() - $3::interval FROM jobs`
	g.execute(t, fail, 1, "retried", 90*time.Minute)
	g.execute(t, fail, 2, "failed", 5*time.Minute)
	g.execute(t, `INSERT INTO job_attempts (organization_id, river_job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, ended_at)
		VALUES ($1, 77, 'cache.invalidate', 'cache', 1, 1, 'lost', 'worker_lost', '<script>alert(1)</script>', '00000000000000bb', now() - interval '1 minute')`, other)
	read := func(query string) (list operator.FailureList) {
		t.Helper()
		g.call(t, testAdminKey, "GET", "/api/admin/failures"+query, "").want(200).json(&list)
		return list
	}
	day := read("")
	if len(day.Data) != 2 || day.Groups != 2 || day.Sampled || day.Window != "24h" || day.Attempts != 13 || day.Failed != 4 || day.Retrying != 1 {
		t.Fatalf("a day: %+v", day)
	}
	recent, frequent := day.Data[0], read("?order=frequent").Data[0]
	if recent.Fingerprint != "00000000000000bb" || recent.Over != 1 || recent.Message != "<script>alert(*)</script>" {
		t.Errorf("the most recent: %+v", recent)
	}
	if frequent.Fingerprint != "00000000000000aa" || frequent.Message != "took *" || frequent.Example != "took 2s" || frequent.Attempts != 12 ||
		frequent.Failed != 4 || frequent.Retrying != 1 || frequent.Over != 1 || frequent.Organizations != 1 || len(frequent.Parts) != 24 ||
		frequent.Parts[23].Attempts != 6 || frequent.Parts[22].Attempts != 6 || frequent.LastAt.Sub(frequent.FirstAt) < time.Hour {
		t.Errorf("the most frequent: %+v", frequent)
	}
	for query, want := range map[string]string{"?window=1h": "7 2", "?kind=ai.completion": "12 1", "?queue=cache": "1 1", "?organization_id=" + other: "1 1",
		"?window=7d&kind=none": "0 0"} {
		if list := read(query); fmt.Sprint(list.Attempts, len(list.Data)) != want {
			t.Errorf("%s: %d attempts in %d groups, want %s", query, list.Attempts, len(list.Data), want)
		}
	}
	var d operator.FailureDetail
	g.call(t, testAdminKey, "GET", "/api/admin/failures/00000000000000aa", "").want(200).json(&d)
	if d.Attempts != 12 || len(d.Newest) != 12 || d.Newest[0].Attempt != 2 || d.Newest[0].Status == nil || d.Newest[0].Error != "took 2s" || d.Window != "7d" {
		t.Errorf("the group: %+v", d)
	}
	g.superExecute(t, `UPDATE job_attempts SET ended_at = ended_at - interval '8 days' WHERE fingerprint = '00000000000000bb'`)
	g.call(t, testAdminKey, "GET", "/api/admin/failures/00000000000000bb", "").want(200).json(&d)
	if d.Kind != "cache.invalidate" || d.Attempts != 0 || len(d.Newest) != 1 || d.Newest[0].JobID != "77" || !d.Newest[0].Internal || d.Newest[0].Status != nil {
		t.Errorf("a group of the past: %+v", d)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/failures/00000000000000cc", "").problem(404, "not_found")
	g.call(t, testAdminKey, "GET", "/api/admin/failures/x", "").problem(422, "validation_failed")
	g.call(t, testAdminKey, "GET", "/api/admin/failures?window=1y", "").problem(422, "validation_failed")
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "GET", "/api/admin/failures", "").want(200)
}

// Where there are more than can be counted whenever somebody looks, the sampler has counted, and its age is told.
func TestManyFailuresAreSampled(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.execute(t, `INSERT INTO job_attempts (organization_id, river_job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, ended_at)
		SELECT gen_random_uuid(), i, 'k' || i % 7, 'cache', 1, 1, 'failed', 'x', 'y', lpad(i % 7 || '', 16, '0'), now() - interval '1 minute' FROM generate_series(1, $1::int) AS i`,
		store.MostLiveFailures+1)
	sample := func(every time.Duration) (did bool) {
		t.Helper()
		if err := g.system.AsOperator(t.Context(), time.Minute, func(tx pgx.Tx) (err error) {
			did, err = store.SampleFailures(t.Context(), tx, store.LastDay, every)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return did
	}
	var list operator.FailureList
	g.call(t, testAdminKey, "GET", "/api/admin/failures", "").want(200).json(&list)
	if list.Sampled && list.Attempts > 0 {
		t.Errorf("before the first sample: %+v", list)
	}
	if !sample(time.Minute) || sample(time.Minute) {
		t.Error("it is not sampled once")
	}
	g.superExecute(t, `UPDATE failure_groups SET as_of = as_of - interval '2 minutes'`)
	g.call(t, testAdminKey, "GET", "/api/admin/failures", "").want(200).json(&list)
	if age := time.Since(list.AsOf); !list.Sampled || len(list.Data) != 7 || list.Attempts != store.MostLiveFailures+1 || age < 2*time.Minute || age > 3*time.Minute {
		t.Errorf("sampled: %+v", list)
	}
	if !sample(time.Minute) {
		t.Error("an old sample is not made anew")
	}
	g.execute(t, `DELETE FROM job_attempts WHERE id % 2 = 0`)
	if sample(0) || g.count(t, `SELECT count(*) FROM failure_groups`) != 0 {
		t.Error("the sample outlives its reason")
	}
}
