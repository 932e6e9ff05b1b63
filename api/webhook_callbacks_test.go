package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// callingBack is a job whose client wants to be called back.
func callingBack(url string) string {
	return strings.TrimSuffix(aCompletion, "}") + `,"callback_url":` + quoted(url) + `}`
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Where to call back is kept in normal form, shown, and leads to what became of it.
func TestJobsAreCalledBack(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	const normal = "https://hooks.example.com/done?token=s3cret%20&a=B"
	r := g.call(t, key, "POST", "/api/jobs", callingBack("HTTPS://Hooks.Example.COM.:443/done?token=s3cret%20&a=B"), "Idempotency-Key", "k").want(202)
	v := r.job()
	if v.CallbackURL == nil || *v.CallbackURL != normal || v.Links.Callbacks == nil ||
		*v.Links.Callbacks != "/api/webhooks/callbacks/deliveries?job_id="+v.ID {
		t.Errorf("%s", r.body)
	}
	again := g.call(t, key, "POST", "/api/jobs", callingBack("HTTPS://Hooks.Example.COM.:443/done?token=s3cret%20&a=B"), "Idempotency-Key", "k").want(202)
	if !bytes.Equal(again.body, r.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the repeat was answered %s", again.body)
	}
	if read := g.call(t, key, "GET", "/api/jobs/"+v.ID, "").want(200).job(); read.CallbackURL == nil || *read.CallbackURL != normal {
		t.Errorf("read %v", read.CallbackURL)
	}
	j, err := g.system.Job(t.Context(), org, v.ID)
	if err != nil || j.CallbackURL == nil || *j.CallbackURL != normal {
		t.Errorf("stored %v, %v", j.CallbackURL, err)
	}
	plain := g.call(t, key, "POST", "/api/jobs", aCompletion).want(202)
	if !strings.Contains(string(plain.body), `"callback_url":null`) || !strings.Contains(string(plain.body), `"callback_deliveries":null`) {
		t.Errorf("a job that nobody is called back for reads %s", plain.body)
	}
	list := `{"jobs":[` + aCompletion + `,` + callingBack("https://hooks.example.com") + `]}`
	var batch batchAnswer
	g.call(t, key, "POST", "/api/jobs/batch", list).want(202).json(&batch)
	if batch.Data[0].CallbackURL != nil || *batch.Data[1].CallbackURL != "https://hooks.example.com/" {
		t.Errorf("the batch has %v and %v", batch.Data[0].CallbackURL, batch.Data[1].CallbackURL)
	}
	for id, want := range map[string]bool{v.ID: true, plain.job().ID: false} {
		g.call(t, key, "POST", "/api/jobs/"+id+"/cancel", "").want(200)
		facts := g.facts(t, id)
		var f events.JobCancelled
		if err := json.Unmarshal([]byte(facts[len(facts)-1].data), &f); err != nil || f.Callback != want {
			t.Errorf("the cancellation says %+v, %v, want callback %t", f, err, want)
		}
	}
}

// What can't be called is refused where the client can mend it, and the job with it.
func TestCallbacksThatAreRefused(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	var mu sync.Mutex
	g := newRig(t, func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(lockedWriter{&mu, &logged}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	_, key := g.organization(t)
	for _, url := range []string{
		"http://hooks.example.com/?s3cret", "https://127.0.0.1/?s3cret", "https://[::ffff:10.0.0.1]/?s3cret", "https://2130706433/?s3cret",
		"https://localhost/?s3cret", "https://me:s3cret@example.com/", "ftp://example.com/?s3cret", "//example.com/?s3cret", "s3cret", "",
		"https://example.com:25/?s3cret", "https://example.com/#s3cret", "https://example.com/" + strings.Repeat("s3cret", 400),
	} {
		p := g.call(t, key, "POST", "/api/jobs", callingBack(url)).problem(422, "validation_failed", "/callback_url")
		if strings.Contains(p.Errors[0].Detail+p.Detail, "s3cret") {
			t.Errorf("%s: the problem shows the token: %+v", url, p)
		}
		g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+aCompletion+`,`+callingBack(url)+`]}`).
			problem(422, "validation_failed", "/jobs/1/callback_url")
	}
	for _, value := range []string{"5", "[]", "{}", "true"} {
		g.call(t, key, "POST", "/api/jobs", strings.TrimSuffix(aCompletion, "}")+`,"callback_url":`+value+`}`).
			problem(422, "validation_failed", "/callback_url")
	}
	var jobs page[jobView]
	if g.call(t, key, "GET", "/api/jobs", "").want(200).json(&jobs); len(jobs.Data) != 0 {
		t.Errorf("%d jobs were made", len(jobs.Data))
	}
	g.submit(t, key, callingBack("https://example.com/?s3cret"))
	mu.Lock()
	defer mu.Unlock()
	if logged.Len() == 0 || strings.Contains(logged.String(), "s3cret") {
		t.Errorf("the log has %s", logged.String())
	}
}

// lockedWriter takes lines from many goroutines.
type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

// Write implements io.Writer.
func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// The secret is there as soon as somebody asks for it, once however many do, and is each organization's own.
func TestCallbackSecrets(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	const path = "/api/webhooks/callbacks"
	read := func(key string) (v CallbackSecretView) {
		t.Helper()
		r := g.call(t, key, "GET", path, "").want(200)
		if r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", r.header.Get("Cache-Control"))
		}
		r.json(&v)
		return v
	}
	views := make([]CallbackSecretView, 8)
	var wg sync.WaitGroup
	for i := range views {
		wg.Go(func() { views[i] = read(key) })
	}
	wg.Wait()
	first := views[0]
	for _, v := range views {
		if v != first || !strings.HasPrefix(v.Secret, "whsec_") || v.PreviousSecretExpiresAt != nil || v.CreatedAt.IsZero() {
			t.Errorf("%+v, and the first is %+v", v, first)
		}
	}
	_, other := g.organization(t)
	if read(other).Secret == first.Secret {
		t.Error("two organizations share a secret")
	}
	for scopes, status := range map[string]int{"read": 403, "write": 200, "jobs": 200} {
		g.call(t, g.key(t, key, scopes), "GET", path, "").want(status)
	}
	var second CallbackSecretView
	r := g.call(t, key, "POST", path+"/rotate", `{}`, "Idempotency-Key", "r").want(200)
	r.json(&second)
	if second.Secret == first.Secret || second.PreviousSecretExpiresAt == nil {
		t.Errorf("rotated from %+v to %+v", first, second)
	}
	if again := g.call(t, key, "POST", path+"/rotate", `{}`, "Idempotency-Key", "r").want(200); !bytes.Equal(again.body, r.body) {
		t.Errorf("the repeat rotated again: %s", again.body)
	}
	if now := read(key); now.Secret != second.Secret || !now.PreviousSecretExpiresAt.Equal(*second.PreviousSecretExpiresAt) {
		t.Errorf("reads %+v after %+v", now, second)
	}
	var third CallbackSecretView
	g.call(t, key, "POST", path+"/rotate", `{"revoke_previous":true}`).want(200).json(&third)
	if now := read(key); now != third || third.PreviousSecretExpiresAt != nil || third.Secret == second.Secret {
		t.Errorf("revoked: %+v, then %+v", third, now)
	}
	g.call(t, key, "POST", path+"/rotate", `{"revoke":true}`).problem(422, "validation_failed", "/revoke")
	g.call(t, g.key(t, key, "jobs"), "POST", path+"/rotate", `{}`).problem(403, "forbidden")
}

// calledBack notes a callback that failed, and gives the delivery's id. Its organization has a secret from then on.
func (g *rig) calledBack(t testing.TB, organizationID, jobID, url string) (id string) {
	t.Helper()
	id = outbox.NewID()
	event, lane := outbox.NewID(), store.CallbackLane(organizationID, url)
	g.execute(t, `INSERT INTO webhook_callback_secrets (organization_id, secret) VALUES ($1, 'whsec_' || repeat('hush', 11)) ON CONFLICT DO NOTHING`, organizationID)
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id, origin) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, organizationID, lane.ID, url)
	g.execute(t, `INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, $2, 'job.completed', '{"id":"hush"}')`, organizationID, event)
	g.execute(t, `INSERT INTO webhook_deliveries (organization_id, id, lane_id, job_id, url, event_id, event_type, purpose, status, next_attempt_at,
			attempts, status_code, error_code, error, finished_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'job.completed', 'callback', 'failed', NULL, 1, 410, 'gone', 'hush', now())`,
		organizationID, id, lane.ID, jobID, url, event)
	g.execute(t, `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, status_code, error_code, request_headers,
			response_headers, response_body)
		VALUES ($1, $2, 1, 1, now(), 5, 410, 'gone', '{}', '{}', 'hush')`, organizationID, id)
	return id
}

// What became of calling back is read and asked for again as deliveries of endpoints are, and is of one organization.
func TestCallbacksAreReadAndReplayed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, other := g.organization(t)
	jobA, jobB := outbox.NewID(), outbox.NewID()
	a, b := g.calledBack(t, org, jobA, "https://example.com/a"), g.calledBack(t, org, jobB, "https://example.com/b")
	const path = "/api/webhooks/callbacks/deliveries"
	list := func(key, query string) (ids []string) {
		t.Helper()
		var p page[deliveryView]
		g.call(t, key, "GET", path+query, "").want(200).json(&p)
		for _, v := range p.Data {
			ids = append(ids, v.ID)
		}
		return ids
	}
	for query, want := range map[string][]string{
		"": {b, a}, "?job_id=" + jobA: {a}, "?job_id=" + jobB + "&status=failed": {b}, "?job_id=" + jobA + "&status=pending": nil,
		"?job_id=" + outbox.NewID(): nil,
	} {
		if got := list(key, query); !slices.Equal(got, want) {
			t.Errorf("%q lists %v, want %v", query, got, want)
		}
	}
	if got := list(other, "?job_id="+jobA); len(got) != 0 {
		t.Errorf("another organization reads %v", got)
	}
	g.call(t, key, "GET", path+"?job_id=x", "").problem(422, "validation_failed", "/query/job_id")
	var d deliveryDetail
	g.call(t, g.key(t, key, "jobs"), "GET", path+"/"+a, "").want(200).json(&d)
	if d.JobID == nil || *d.JobID != jobA || d.EndpointID != nil || *d.URL != "https://example.com/a" || len(d.Attempts) != 1 ||
		d.Links.Self != path+"/"+a || d.Links.Replay != path+"/"+a+"/replay" {
		t.Errorf("%+v", d)
	}
	g.call(t, other, "GET", path+"/"+a, "").problem(404, "not_found")
	g.call(t, other, "POST", path+"/"+a+"/replay", "").problem(404, "not_found")
	var v deliveryView
	r := g.call(t, g.key(t, key, "jobs"), "POST", path+"/"+a+"/replay", "").want(202)
	if r.json(&v); v.Status != "pending" || v.Run != 2 || r.header.Get("Location") != path+"/"+a || v.EventID != d.EventID {
		t.Errorf("%s", r.body)
	}
	facts := g.facts(t, a)
	if len(facts) != 1 || facts[0].typ != "webhook.delivery_requested" || !strings.Contains(facts[0].data, `"run":2`) {
		t.Errorf("facts %+v", facts)
	}
	g.call(t, key, "POST", path+"/"+a+"/replay", "").problem(409, "delivery_pending")
}

// The document tells what comes to a callback_url.
func TestDocumentTellsOfCallbacks(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]struct {
			Callbacks map[string]map[string]map[string]struct {
				Description string
				RequestBody struct {
					Content map[string]struct{ Schema map[string]any }
				}
			}
		}
	}
	if err := json.Unmarshal(document(t), &doc); err != nil {
		t.Fatal(err)
	}
	told := doc.Paths["/api/jobs"]["post"].Callbacks["jobEnded"]["{$request.body#/callback_url}"]["post"]
	schema := fmt.Sprint(told.RequestBody.Content["application/cloudevents+json"].Schema)
	if !strings.Contains(schema, "#/components/schemas/CallbackData") || !strings.Contains(schema, "job.cancelled") ||
		!strings.Contains(told.Description, "20 KB") {
		t.Errorf("%+v", told)
	}
}
