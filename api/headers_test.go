package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// The headers that keep browsers from being turned against their users are on every kind of answer.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited(t, nil, 1, time.Hour), behindProxy, func(c *Config) {
		c.Kinds = append(c.Kinds, Kind{Name: "x.panic", Queue: "x", Scope: "jobs", MaxAttempts: 1,
			Check: func(json.RawMessage) []Fault { panic("x") }})
	})
	var k newKeyView
	g.call(t, testAdminKey, "POST", "/api/api-keys", `{"name":"k","scopes":["admin"],"rate_limit":1000}`).want(201).json(&k)
	admin := k.Key
	job := g.submit(t, admin, aCompletion)
	etag := g.call(t, admin, "GET", "/api/jobs/"+job.ID, "").want(200).header.Get("ETag")
	ended := g.submit(t, admin, aCompletion)
	g.work(t, store.OperatorOrganization, ended.ID).finish(`{"text":"x"}`)
	from := 0
	stranger := func(method, path string) *reply {
		from++
		return g.call(t, "", method, path, "", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", from))
	}
	const api = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	for name, c := range map[string]struct {
		reply  *reply
		status int
		policy string
	}{
		"an answer":      {g.call(t, admin, "GET", "/api/organization", ""), 200, api},
		"a job":          {g.call(t, admin, "POST", "/api/jobs", aCompletion), 202, api},
		"nothing new":    {g.call(t, admin, "GET", "/api/jobs/"+job.ID, "", "If-None-Match", etag), 304, api},
		"no such path":   {g.call(t, admin, "GET", "/nowhere", "", "X-Forwarded-For", "203.0.113.90"), 404, api},
		"nothing there":  {g.call(t, admin, "GET", "/api/jobs/01a20280-8978-7941-82b6-27e3bdd15c47", ""), 404, api},
		"no such method": {g.call(t, admin, "PUT", "/api/jobs", "", "X-Forwarded-For", "203.0.113.91"), 405, api},
		"too large":      {g.call(t, admin, "POST", "/api/jobs", strings.Repeat(" ", maxBody+1)), 413, api},
		"a stream":       {g.call(t, admin, "GET", "/api/jobs/"+ended.ID+"/events", ""), 200, api},
		"not JSON":       {g.call(t, admin, "POST", "/api/jobs", "{"), 400, api},
		"no key":         {stranger("GET", "/api/jobs"), 401, api},
		"a panic":        {g.call(t, admin, "POST", "/api/jobs", `{"kind":"x.panic","input":{}}`), 500, api},
		"the page":       {stranger("GET", "/docs"), 200, api + "; style-src 'self'"},
		"its style":      {stranger("GET", "/docs/style.css"), 200, api},
		"the document":   {stranger("GET", "/openapi.json"), 200, api},
		"health":         {stranger("GET", "/livez"), 200, api},
		"a head":         {stranger("HEAD", "/docs"), 200, api + "; style-src 'self'"},
	} {
		c.reply.secure(name, c.status, c.policy)
	}
	g.call(t, "", "GET", "/docs", "", "X-Forwarded-For", "203.0.113.99").want(200)
	g.call(t, "", "GET", "/docs", "", "X-Forwarded-For", "203.0.113.99").secure("too often", 429, api)
}

func (r *reply) secure(name string, status int, policy string) {
	r.t.Helper()
	r.want(status)
	for header, want := range map[string]string{
		"X-Frame-Options":           "DENY",
		"X-Content-Type-Options":    "nosniff",
		"X-XSS-Protection":          "0",
		"Referrer-Policy":           "strict-origin-when-cross-origin",
		"Permissions-Policy":        "geolocation=(), microphone=(), camera=()",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		"Content-Security-Policy":   policy,
	} {
		if got := r.header.Values(header); len(got) != 1 || got[0] != want {
			r.t.Errorf("%s: %d: %s is %q, want %q", name, r.status, header, got, want)
		}
	}
}
