package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestStreamsOfAKeyAreCounted(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	other := g.key(t, key, "jobs")
	v := g.submit(t, key, aCompletion)
	var last *stream
	for range maxStreams {
		last = g.follow(t, key, v.ID, "")
		if _, ok := last.next(); !ok {
			t.Fatalf("no stream: %d", last.resp.StatusCode)
		}
	}
	g.call(t, key, "GET", "/api/jobs/"+v.ID+"/events", "").problem(429, "too_many_streams")
	if s := g.follow(t, other, v.ID, ""); s.resp.StatusCode != 200 {
		t.Errorf("another key got %d", s.resp.StatusCode)
	}
	last.cancel()
	eventually(t, func() bool {
		s := g.follow(t, key, v.ID, "")
		defer s.cancel()
		return s.resp.StatusCode == 200
	})
}

func TestDrainEndsStreamsAndWaits(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	s := g.follow(t, key, v.ID, "")
	if _, ok := s.next(); !ok {
		t.Fatal("no stream")
	}
	waited := make(chan *reply, 1)
	go func() { waited <- g.call(t, key, "GET", "/api/jobs/"+v.ID, "", "Prefer", "wait=50") }()
	eventually(t, func() bool { return g.hints.listeners(v.ID) == 2 })
	g.call(t, "", "GET", "/readyz", "").want(200)
	g.Drain()
	if rest := s.rest(); len(rest) != 0 {
		t.Errorf("got %v", rest)
	}
	if j := (<-waited).want(200).job(); j.Status != "queued" {
		t.Errorf("status %s", j.Status)
	}
	g.call(t, "", "GET", "/readyz", "").problem(503, "not_ready")
	g.call(t, "", "GET", "/livez", "").want(200)
	g.submit(t, key, aCompletion)
}

// The server's write timeout is for answers that end; a silent stream lives on by its heartbeat.
func TestStreamOutlivesWriteTimeout(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.beat = 100 * time.Millisecond
	_, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	server := httptest.NewUnstartedServer(g.Handler())
	server.Config.WriteTimeout = 300 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	other := *g
	other.url, other.http = server.URL, server.Client()
	s := other.follow(t, key, v.ID, "")
	if _, ok := s.next(); !ok {
		t.Fatal("no stream")
	}
	cancelled := make(chan struct{}) // the stream may end before the cancelling call does
	time.AfterFunc(1200*time.Millisecond, func() {
		defer close(cancelled)
		g.call(t, key, "POST", "/api/jobs/"+v.ID+"/cancel", "").want(200)
	})
	rest := s.rest()
	<-cancelled
	if fmt.Sprint(rest) != "[2 done]" || s.beats < 5 {
		t.Errorf("got %v after %d heartbeats", rest, s.beats)
	}
}

func TestStreamLeavesNoDeadlineBehind(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	g.call(t, key, "POST", "/api/jobs/"+v.ID+"/cancel", "").want(200)
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	req := httptest.NewRequest("GET", "/api/jobs/"+v.ID+"/events", nil)
	req.Header.Set("Authorization", "Bearer "+key)
	g.Handler().ServeHTTP(w, req)
	if len(w.set) < 2 || w.set[0].IsZero() || !w.set[len(w.set)-1].IsZero() {
		t.Errorf("deadlines %v", w.set)
	}
}

// A status that a worker told is the whole job as it was then, whatever has become of it since.
func TestStatusOfThePast(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	w := g.work(t, org, v.ID)
	w.tell("status", `{"status":"running","attempt":1,"started_at":"2026-01-31T10:00:00Z","waiting":null,"output":null,"error":null,"finished_at":null}`,
		`{"status":"running","attempt":1,"started_at":"2026-01-31T10:00:00Z","waiting":{"reason":"no model","next_attempt_at":"2026-01-31T10:01:00Z"}}`)
	w.tell("token", `{"text":"a long answer"}`)
	w.finish(`{"text":"a long answer"}`)
	for last, want := range map[string]string{"": "[1 status 2 status 3 status 4 token 5 done]", "2": "[3 status 4 token 5 done]"} {
		s := g.follow(t, key, v.ID, last)
		all := s.rest()
		if s.resp.StatusCode != http.StatusOK || fmt.Sprint(all) != want {
			t.Fatalf("behind %q: %d %v, want %s", last, s.resp.StatusCode, all, want)
		}
		for _, e := range all {
			var j jobView
			if e.event == "token" {
				continue
			}
			if err := json.Unmarshal([]byte(e.data), &j); err != nil || j.ID != v.ID || string(j.Input) != string(v.Input) {
				t.Errorf("%v: %s, %v", e, e.data, err)
			}
			if running := e.id == "2" || e.id == "3"; running && (j.Status != "running" || string(j.Output) != "null" || j.FinishedAt != nil) {
				t.Errorf("%v: %s", e, e.data)
			}
			if waits := e.id == "3"; waits != (j.Waiting != nil) {
				t.Errorf("%v: %s", e, e.data)
			}
		}
	}
}
