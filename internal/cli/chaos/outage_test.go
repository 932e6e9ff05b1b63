package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// answers asks until the answer to a GET has a status.
func (c *client) answers(t *testing.T, path string, status int) reply {
	t.Helper()
	var last reply
	err := eventually(within(t, 30*time.Second), func(ctx context.Context) error {
		r, err := c.call(ctx, http.MethodGet, path, "")
		if err == nil && r.status != status {
			err = fmt.Errorf("%d %s", r.status, r.body)
		}
		last = r
		return err
	})
	must(t, "GET "+path, err)
	return last
}

// refuses wants a 503 that says when to come back, in good time.
func refuses(t *testing.T, what string, began time.Time, r reply, err error) {
	t.Helper()
	must(t, what, err)
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != http.StatusServiceUnavailable || after < 1 || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: got %d, Retry-After %q, %s %s; want 503 and a problem", what, r.status,
			r.header.Get("Retry-After"), r.header.Get("Content-Type"), r.body)
	}
	took(t, what+" was refused", began, 5*time.Second)
}

func TestPostgresIsAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Patient")
	_, unseen := admin.organization(t, "Unseen")
	s.relay("relay")
	worker := s.worker("worker")
	before := own.submit(t, "bench.noop", `{"effect":true}`).ID
	own.done(t, before, 20*time.Second)

	s.stop(s.postgres)
	for range 3 {
		began := time.Now()
		r, err := own.call(t.Context(), http.MethodPost, "/api/jobs", `{"kind":"bench.noop","input":{"effect":true}}`)
		refuses(t, "a submit without Postgres", began, r, err)
		began = time.Now()
		r, err = own.call(t.Context(), http.MethodGet, "/api/jobs/"+before, "")
		refuses(t, "a read without Postgres", began, r, err)
	}
	admin.answers(t, "/livez", http.StatusOK)
	r := admin.answers(t, "/readyz", http.StatusServiceUnavailable)
	refuses(t, "readiness without Postgres", time.Now(), r, nil)
	// A key that this process has not seen can't be told from none, and must not be called wrong.
	began := time.Now()
	r, err := unseen.call(t.Context(), http.MethodGet, "/api/jobs/"+before, "")
	refuses(t, "a key that can't be looked up", began, r, err)
	second := s.worker("worker-2")
	_, err = second.says(within(t, 20*time.Second), "database is away")
	must(t, "a worker that is started meanwhile", err)
	// Long enough for the worker to miss its heartbeats.
	must(t, "pause", pause(t.Context(), 12*time.Second))

	s.startPostgres()
	back := time.Now()
	admin.answers(t, "/readyz", http.StatusOK)
	took(t, "the API was ready", back, 10*time.Second)
	after := own.submit(t, "bench.noop", `{"effect":true}`).ID
	own.done(t, after, 30*time.Second)
	took(t, "a job was done", back, 20*time.Second)
	must(t, "audit", audit(t.Context(), pool, organization, []string{before, after}))
	_, err = second.says(within(t, 20*time.Second), "worker works")
	must(t, "the worker that was started meanwhile", err)
	if !worker.alive() || !second.alive() {
		t.Error("a worker ended while Postgres was away")
	}
}

func TestNATSIsAway(t *testing.T) {
	t.Parallel()
	const submitted = 30
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Unheard")
	relay := s.relay("relay")
	worker := s.worker("worker")
	list := []string{own.submit(t, "bench.noop", `{"effect":true}`).ID}
	own.done(t, list[0], 20*time.Second)

	s.stop(s.nats)
	for range submitted {
		list = append(list, own.submit(t, "bench.noop", `{"effect":true}`).ID)
	}
	if r := admin.answers(t, "/readyz", http.StatusOK); string(r.body) == "" {
		t.Error("readiness says nothing")
	}
	must(t, "pause", pause(t.Context(), 8*time.Second))
	s.startNATS()
	back := time.Now()
	for _, id := range list {
		own.done(t, id, time.Minute)
	}
	took(t, "all jobs were done", back, 15*time.Second)
	must(t, "audit", audit(t.Context(), pool, organization, list))
	for _, p := range []*process{relay, worker} {
		if n := len(p.log.since(0)); n > 60 {
			t.Errorf("%s wrote %d lines about an outage of 8 seconds", p.name, n)
		}
	}
}

func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Uncached")
	s.relay("relay")
	s.worker("worker")
	status := func(want string) {
		t.Helper()
		err := eventually(within(t, 20*time.Second), func(ctx context.Context) error {
			r, err := admin.call(ctx, http.MethodGet, "/readyz", "")
			var body struct {
				Status string `json:"status"`
			}
			if err == nil {
				err = r.into(&body)
			}
			if err == nil && (r.status != http.StatusOK || body.Status != want) {
				err = fmt.Errorf("readiness: %d %s, want %s", r.status, r.body, want)
			}
			return err
		})
		must(t, "readiness", err)
	}
	status("ok")
	changes := 0
	// change renames the organization, and wants to read the new name at once.
	change := func() (outcome string) {
		t.Helper()
		changes++
		body := fmt.Sprintf(`{"name":"after change %d"}`, changes)
		r, err := own.call(t.Context(), http.MethodPatch, "/api/organization", body)
		must(t, "change the organization", err)
		tag := r.header.Get("ETag")
		r, err = own.call(t.Context(), http.MethodGet, "/api/organization", "")
		must(t, "read the organization", err)
		if r.status != http.StatusOK || r.header.Get("ETag") != tag {
			t.Errorf("read %d %s (%s) after change %d, version %s", r.status, r.body, r.header.Get("X-Cache"), changes, tag)
		}
		return r.header.Get("X-Cache")
	}
	hits := func() {
		t.Helper()
		must(t, "hits", eventually(within(t, 20*time.Second), func(ctx context.Context) error {
			r, err := own.call(ctx, http.MethodGet, "/api/organization", "")
			if outcome := r.header.Get("X-Cache"); err == nil && outcome != "hit" {
				err = fmt.Errorf("it is a %s", outcome)
			}
			return err
		}))
	}
	change()
	hits()
	s.stop(s.redis)
	status("degraded")
	var list []string
	for range 10 {
		list = append(list, own.submit(t, "bench.noop", `{"effect":true}`).ID)
		if outcome := change(); outcome != "bypass" {
			t.Errorf("without Redis a read is a %s", outcome)
		}
	}
	for _, id := range list {
		own.done(t, id, 20*time.Second)
	}
	s.startRedis()
	for range 10 {
		change()
	}
	status("ok")
	hits()
	change()
	// Each fact invalidated once, those of the outage too.
	must(t, "invalidations", eventually(within(t, 60*time.Second), func(ctx context.Context) error {
		var done, all int
		err := pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'completed'), count(*) FROM river_job
		                           WHERE kind = 'cache.invalidate'`).Scan(&done, &all)
		if err == nil && (done != changes || all != changes) {
			err = fmt.Errorf("%d of %d are done, after %d changes", done, all, changes)
		}
		return err
	}))
	must(t, "audit", audit(t.Context(), pool, organization, list))
}
