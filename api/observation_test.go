package api

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// watched gives a rig and what it says of its requests, in their order.
func watched(t *testing.T, change ...func(*Config)) (*rig, <-chan Observation) {
	t.Helper()
	seen := make(chan Observation, 1000)
	return newRig(t, append(change, func(c *Config) { c.Watch = func(o Observation) { seen <- o } })...), seen
}

func next(t *testing.T, seen <-chan Observation) Observation {
	t.Helper()
	select {
	case o := <-seen:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("a request was not observed")
		panic("not reached")
	}
}

func TestEveryRequestIsObserved(t *testing.T) {
	t.Parallel()
	g, seen := watched(t)
	_, key := g.organization(t)
	if o := next(t, seen); o.Method != "POST" || o.Route != "/api/organizations" || o.Status != 201 || o.Took <= 0 || o.Probe || o.Lasting {
		t.Errorf("an organization that was made: got %+v", o)
	}
	trace := "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, c := range []struct {
		key, method, path string
		want              Observation
		headers           []string
	}{
		{key, "GET", "/api/contacts/00000000-0000-7000-8000-000000000000", Observation{Method: "GET", Route: "/api/contacts/{id}", Status: 404}, nil},
		{key, "GET", "/api/contacts", Observation{Method: "GET", Route: "/api/contacts", Status: 200, TraceID: trace},
			[]string{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}},
		{key, "HEAD", "/api/contacts", Observation{Method: "HEAD", Route: "/api/contacts", Status: 200}, nil},
		{"", "GET", "/api/contacts", Observation{Method: "GET", Route: "/api/contacts", Status: 401}, nil},
		{"", "GET", "/livez", Observation{Method: "GET", Route: "/livez", Status: 200, Probe: true}, nil},
		{"", "GET", "/no/such/path", Observation{Method: "GET", Route: "-", Status: 404}, nil},
		{"", "BREW", "/api/contacts", Observation{Method: "OTHER", Route: "-", Status: 405}, nil},
		{key, "GET", "/api/jobs/00000000-0000-7000-8000-000000000000", Observation{Method: "GET", Route: "/api/jobs/{id}", Status: 404, Lasting: true},
			[]string{"Prefer", "wait=1"}},
		{key, "GET", "/api/jobs/00000000-0000-7000-8000-000000000000/events", Observation{Method: "GET", Route: "/api/jobs/{id}/events", Status: 404, Lasting: true}, nil},
	} {
		g.call(t, c.key, c.method, c.path, "", c.headers...)
		got := next(t, seen)
		if c.want.TraceID == "" && len(got.TraceID) != 32 {
			t.Errorf("%s %s: got trace %q", c.method, c.path, got.TraceID)
		}
		if c.want.TraceID == "" {
			got.TraceID = ""
		}
		got.Took = 0
		if got != c.want {
			t.Errorf("%s %s: got %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
	if len(seen) != 0 {
		t.Errorf("%d requests were observed twice", len(seen))
	}
}

// A panic, before and after the head of the answer, and a handler that writes nothing.
func TestBrokenAnswersAreObserved(t *testing.T) {
	t.Parallel()
	g, seen := watched(t)
	server := httptest.NewServer(g.edge(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*exchange).route = r.URL.Path
		switch r.URL.Path {
		case "/before":
			panic("for the test")
		case "/within":
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			panic("for the test")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		path string
		want int
	}{{"/before", 500}, {"/within", 500}, {"/abort", 500}, {"/nothing", 200}} {
		resp, err := server.Client().Get(server.URL + c.path)
		if err == nil {
			_ = resp.Body.Close()
		}
		if o := next(t, seen); o.Status != c.want || o.Route != c.path {
			t.Errorf("%s: got %+v, want status %d", c.path, o, c.want)
		}
	}
}

// Who hangs up before the answer is no error of ours.
func TestClientsThatGoAreObserved(t *testing.T) {
	t.Parallel()
	g, seen := watched(t)
	_, key := g.organization(t)
	next(t, seen)
	job := g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"p"}}`).want(202).job()
	next(t, seen)
	ctx, hangUp := context.WithCancel(t.Context())
	ask := func(path string) *http.Request {
		req, err := http.NewRequestWithContext(ctx, "GET", g.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		return req
	}
	waiting := ask("/api/jobs/" + job.ID)
	waiting.Header.Set("Prefer", "wait=30")
	gone := make(chan error, 1)
	go func() {
		resp, err := g.http.Do(waiting)
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	eventually(t, func() bool { return g.hints.listeners(job.ID) == 1 })
	following, err := g.http.Do(ask("/api/jobs/" + job.ID + "/events"))
	if err != nil {
		t.Fatal(err)
	}
	defer following.Body.Close()
	if _, err := bufio.NewReader(following.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	hangUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the wait ended with %v", err)
	}
	got := map[string]Observation{}
	for range 2 {
		o := next(t, seen)
		got[o.Route] = o
	}
	if o := got["/api/jobs/{id}"]; o.Status != statusGone || !o.Lasting {
		t.Errorf("a wait whose client went: got %+v, want status %d", o, statusGone)
	}
	if o := got["/api/jobs/{id}/events"]; o.Status != 200 || !o.Lasting {
		t.Errorf("a stream whose client went: got %+v, want status 200", o)
	}
}
