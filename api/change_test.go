package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

func TestCancel(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	for range 2 {
		if j := g.call(t, key, "POST", "/api/jobs/"+v.ID+"/cancel", `{}`).want(200).job(); j.Status != "cancelled" || j.FinishedAt == nil {
			t.Errorf("got %+v", j)
		}
	}
	facts := g.facts(t, v.ID)
	if len(facts) != 2 || facts[1].typ != "job.cancelled" || facts[1].correlation == "" {
		t.Errorf("facts %+v", facts)
	}
	done := g.submit(t, key, aCompletion)
	g.work(t, org, done.ID).finish(`{}`)
	g.call(t, key, "POST", "/api/jobs/"+done.ID+"/cancel", "").problem(409, "already_finished")
	failed := g.submit(t, key, aCompletion)
	g.work(t, org, failed.ID).fail(`{}`)
	g.call(t, key, "POST", "/api/jobs/"+failed.ID+"/cancel", "").problem(409, "already_finished")
	running := g.submit(t, key, aCompletion)
	g.work(t, org, running.ID)
	g.call(t, key, "POST", "/api/jobs/"+running.ID+"/cancel", "").want(200)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	retry := func(id string) *reply { return g.call(t, key, "POST", "/api/jobs/"+id+"/retry", "") }

	fresh := g.submit(t, key, aCompletion)
	retry(fresh.ID).want(200)
	g.work(t, org, fresh.ID)
	if j := retry(fresh.ID).want(200).job(); j.Status != "running" {
		t.Errorf("a job under way became %s", j.Status)
	}
	if n := len(g.facts(t, fresh.ID)); n != 1 {
		t.Errorf("%d events for a job that was left alone", n)
	}

	failed := g.submit(t, key, aCompletion)
	g.work(t, org, failed.ID).fail(`{"code":"x"}`)
	j := retry(failed.ID).want(200).job()
	if j.Status != "queued" || j.Attempt != 0 || string(j.Error) != "null" || j.FinishedAt != nil {
		t.Errorf("got %+v", j)
	}
	facts := g.facts(t, failed.ID)
	row, err := g.system.Job(t.Context(), org, failed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if last := facts[len(facts)-1]; len(facts) != 2 || last.id != row.EventID || last.requested(t).Run != 2 || last.requested(t).Version != row.Version {
		t.Errorf("facts %+v, row %+v", facts, row)
	}

	waiting := g.submit(t, key, aCompletion)
	w := g.work(t, org, waiting.ID)
	next := time.Now().Add(time.Hour)
	b := &pgx.Batch{}
	store.QueueJobWait(b, w.hold, "no_provider", next)
	if err := g.system.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r := g.call(t, key, "GET", "/api/jobs/"+waiting.ID, "").want(200)
	if v := r.job().Waiting; v == nil || v.Reason != "no_provider" || v.NextAttemptAt.Sub(next).Abs() > time.Millisecond || r.header.Get("Retry-After") != "60" {
		t.Errorf("waiting %+v, Retry-After %s", v, r.header.Get("Retry-After"))
	}
	if j := retry(waiting.ID).want(200).job(); j.Status != "queued" || j.Waiting != nil {
		t.Errorf("got %+v", j)
	}

	later := g.submit(t, key, `{"kind":"ai.completion","input":{"prompt":"x"},"run_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	if j := retry(later.ID).want(200).job(); j.RunAt.After(time.Now().Add(time.Second)) {
		t.Errorf("runs at %s", j.RunAt)
	}

	done := g.submit(t, key, aCompletion)
	g.work(t, org, done.ID).finish(`{}`)
	retry(done.ID).problem(409, "already_finished")
	cancelled := g.submit(t, key, aCompletion)
	g.call(t, key, "POST", "/api/jobs/"+cancelled.ID+"/cancel", "").want(200)
	if j := retry(cancelled.ID).want(200).job(); j.Status != "queued" {
		t.Errorf("got %s", j.Status)
	}
}

func TestETagOfJob(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	path := "/api/jobs/" + v.ID
	r := g.call(t, key, "GET", path, "").want(200)
	tag := r.header.Get("ETag")
	if r.header.Get("Retry-After") != "1" || r.header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("headers %v", r.header)
	}
	for _, given := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		same := g.call(t, key, "GET", path, "", "If-None-Match", given).want(304)
		if same.header.Get("ETag") != tag || len(same.body) != 0 {
			t.Errorf("304 with ETag %s and body %q", same.header.Get("ETag"), same.body)
		}
	}
	w := g.work(t, org, v.ID)
	running := g.call(t, key, "GET", path, "", "If-None-Match", tag).want(200)
	w.finish(`{"a":1}`)
	end := g.call(t, key, "GET", path, "", "If-None-Match", running.header.Get("ETag")).want(200)
	if end.header.Get("Retry-After") != "" || string(end.job().Output) != `{"a": 1}` && string(end.job().Output) != `{"a":1}` {
		t.Errorf("headers %v, body %s", end.header, end.body)
	}
	head := g.call(t, key, "HEAD", path, "").want(200)
	if head.header.Get("ETag") != end.header.Get("ETag") {
		t.Error("HEAD differs from GET")
	}
}

func TestWaitForTheEnd(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		g := newRig(t)
		g.hints.deaf = deaf
		org, key := g.organization(t)
		v := g.submit(t, key, aCompletion)
		w := g.work(t, org, v.ID)
		answered := make(chan *reply, 1)
		go func() { answered <- g.call(t, key, "GET", "/api/jobs/"+v.ID, "", "Prefer", "respond-async, wait=30") }()
		eventually(t, func() bool { return g.hints.listeners(v.ID) == 1 })
		// Whoever waits holds no connection: the pool of ten serves on with twelve waiting.
		w.finish(`{"text":"x"}`)
		r := (<-answered).want(200)
		if r.job().Status != "succeeded" || r.header.Get("Preference-Applied") != "wait=30" {
			t.Errorf("hints lost %v: %s, %v", deaf, r.job().Status, r.header)
		}
	}
}

func TestWaitersHoldNoConnection(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	w := g.work(t, org, v.ID)
	const waiters = 40 // the pool has ten
	answered := make(chan *reply, waiters)
	for range waiters {
		go func() { answered <- g.call(t, key, "GET", "/api/jobs/"+v.ID, "", "Prefer", "wait=30") }()
	}
	eventually(t, func() bool { return g.hints.listeners(v.ID) == waiters })
	eventually(t, func() bool { return g.DB.Pool().Stat().AcquiredConns() == 0 })
	w.finish(`{}`)
	for range waiters {
		if j := (<-answered).want(200).job(); j.Status != "succeeded" {
			t.Errorf("got %s", j.Status)
		}
	}
}

func TestWaitPreferences(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	start := time.Now()
	if r := g.call(t, key, "GET", "/api/jobs/"+v.ID, "", "Prefer", "wait=1").want(200); r.job().Status != "queued" || time.Since(start) < time.Second {
		t.Errorf("got %s after %s", r.job().Status, time.Since(start))
	}
	g.work(t, org, v.ID).finish(`{}`)
	for given, want := range map[string]string{"wait=300": "wait=55", "wait=5": "wait=5", `wait="7"; x`: "wait=7", "WAIT=3": "wait=3",
		"wait=x": "", "wait=-1": "", "wait": "", "return=minimal": "", "": "", "wait=0": "wait=0"} {
		if r := g.call(t, key, "GET", "/api/jobs/"+v.ID, "", "Prefer", given).want(200); r.header.Get("Preference-Applied") != want {
			t.Errorf("%q: applied %q, want %q", given, r.header.Get("Preference-Applied"), want)
		}
	}
}

func TestWaitEndsWhenTheClientGoes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", g.url+"/api/jobs/"+v.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Prefer", "wait=50")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := g.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	eventually(t, func() bool { return g.hints.listeners(v.ID) == 1 })
	hangUp()
	<-gone
	eventually(t, func() bool { return g.hints.listeners(v.ID) == 0 })
}
