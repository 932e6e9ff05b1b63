package api

import (
	"testing"
)

func TestSubmitAndGet(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	r := g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"hello","n":1e400},"metadata":{"k":12345678901234567890.5},"priority":"high"}`).want(202)
	v := r.job()
	if r.header.Get("Location") != "/api/jobs/"+v.ID || r.header.Get("Retry-After") == "" {
		t.Errorf("headers %v", r.header)
	}
	got := g.call(t, key, "GET", "/api/jobs/"+v.ID, "").want(200)
	t.Logf("%s\n%s", r.body, got.body)
}
