package api

import (
	"encoding/json"
	"strings"
)

// keepsPromises checks what every answer keeps, whatever was asked.
func (r *reply) keepsPromises(g *rig, method, path string) {
	r.t.Helper()
	for name, values := range edgeHeaders {
		got := r.header.Get(name)
		if got == "" {
			r.t.Errorf("%s: %d without %s", r.what, r.status, name)
		}
		if name != "Cache-Control" && name != "Content-Security-Policy" && got != values[0] {
			r.t.Errorf("%s: %s is %q, want %q", r.what, name, got, values[0])
		}
	}
	if csp := r.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") {
		r.t.Errorf("%s: policy %q", r.what, csp)
	}
	record(recording{method, path, r.status, r.header, r.body})
	id := r.header.Get("X-Request-ID")
	if id == "" {
		r.t.Errorf("%s: no X-Request-ID", r.what)
	}
	if c, err := served(); err != nil {
		r.t.Errorf("read the OpenAPI document: %v", err)
	} else if err := c.fulfils(method, path, r.status, r.header.Get("Content-Type"), r.body); err != nil {
		r.t.Errorf("%s: %d %s: not as documented: %v", r.what, r.status, r.body, err)
	}
	if r.status < 400 {
		return
	}
	if ct := r.header.Get("Content-Type"); ct != problemType {
		r.t.Errorf("%s: %d has content type %q: %s", r.what, r.status, ct, r.body)
		return
	}
	if method == "HEAD" {
		return
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		r.t.Errorf("%s: problem %s: %v", r.what, r.body, err)
		return
	}
	bare, _, _ := strings.Cut(path, "?")
	c, known := codes[p.Code]
	if !known || p.Status != r.status || c.status != r.status || p.RequestID != id || p.Instance != bare ||
		p.Type != "/docs#"+p.Code || p.Title == "" || p.Detail == "" {
		r.t.Errorf("%s: %d: not a whole problem: %s", r.what, r.status, r.body)
	}
}
