package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// sse is an event as a client reads it.
type sse struct{ id, event, data string }

func (e sse) String() string { return e.id + " " + e.event }

// stream is an open event stream.
type stream struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
	beats  int
}

func (g *rig) follow(t testing.TB, key, id, last string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", g.url+"/api/jobs/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &stream{t: t, resp: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
}

// next reads one event; false at the end of the stream.
func (s *stream) next() (e sse, ok bool) {
	var data []string
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.id != "":
			e.data = strings.Join(data, "\n")
			return e, true
		case strings.HasPrefix(line, ":"):
			s.beats++
		case name == "id":
			e.id = value
		case name == "event":
			e.event = value
		case name == "data":
			data = append(data, value)
		}
	}
	return e, false
}

func (s *stream) rest() (all []sse) {
	for {
		e, ok := s.next()
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

// worker plays the worker of a job.
type worker struct {
	g    *rig
	t    testing.TB
	hold store.Hold
	seq  int64
}

func (g *rig) work(t testing.TB, org, id string) *worker {
	t.Helper()
	lease := g.count(t, `UPDATE jobs SET status = 'running', lease = lease + 1, attempt = 1, river_job_id = 1, started_at = now(),
		version = version + 1 WHERE id = '`+id+`' RETURNING lease`)
	last, _, err := store.LastJobEvent(t.Context(), g.system.Pool(), org, id)
	if err != nil {
		t.Fatal(err)
	}
	g.hints.JobChanged(id)
	return &worker{g: g, t: t, hold: store.Hold{OrganizationID: org, JobID: id, Lease: lease}, seq: max(last, 1)}
}

func (w *worker) tell(kind string, data ...string) {
	w.t.Helper()
	var list []store.JobEvent
	for _, d := range data {
		w.seq++
		list = append(list, store.JobEvent{Seq: w.seq, Type: kind, Data: json.RawMessage(d)})
	}
	if err := store.AppendJobEvents(w.t.Context(), w.g.system, w.hold, list); err != nil {
		w.t.Error(err)
	}
	w.g.hints.JobChanged(w.hold.JobID)
}

func (w *worker) finish(output string) {
	w.t.Helper()
	b := &pgx.Batch{}
	store.QueueSucceed(b, w.hold, json.RawMessage(output))
	if err := w.g.system.Send(w.t.Context(), b); err != nil {
		w.t.Error(err)
	}
	w.g.hints.JobChanged(w.hold.JobID)
}

func (w *worker) fail(problem string) {
	w.t.Helper()
	b := &pgx.Batch{}
	store.QueueFail(b, w.hold, json.RawMessage(problem), nil)
	if err := w.g.system.Send(w.t.Context(), b); err != nil {
		w.t.Error(err)
	}
	w.g.hints.JobChanged(w.hold.JobID)
}

func TestFollowLive(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	s := g.follow(t, key, v.ID, "")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
		if got := s.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	first, _ := s.next()
	var j jobView
	if err := json.Unmarshal([]byte(first.data), &j); err != nil || first.String() != "1 status" || j.Status != "queued" || j.ID != v.ID {
		t.Fatalf("first event %v %s, %v", first, first.data, err)
	}
	w := g.work(t, org, v.ID)
	w.tell("provider", `{"provider":"ollama","model":"m","reason":null}`)
	if e, _ := s.next(); e.String() != "2 provider" {
		t.Fatalf("got %v", e)
	}
	w.tell("token", "{\"text\":\n\"a\"}", `{"text":"b"}`)
	if e, _ := s.next(); e.String() != "3 token" || e.data != "{\"text\":\n\"a\"}" {
		t.Fatalf("got %v %q", e, e.data)
	}
	w.finish(`{"text":"ab"}`)
	rest := s.rest()
	if fmt.Sprint(rest) != "[4 token 5 done]" {
		t.Fatalf("got %v", rest)
	}
	if err := json.Unmarshal([]byte(rest[1].data), &j); err != nil || j.Status != "succeeded" || string(j.Output) != `{"text":"ab"}` {
		t.Errorf("done carries %s", rest[1].data)
	}
}

// Every place at which a stream may have been cut leads to the same whole.
func TestReplayFromEveryPlace(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	w := g.work(t, org, v.ID)
	var tokens []string
	for i := range 2*streamPage + 7 {
		tokens = append(tokens, `{"text":"`+strconv.Itoa(i)+`"}`)
	}
	w.tell("token", tokens...)
	w.finish(`{}`)
	all := g.follow(t, key, v.ID, "").rest()
	if len(all) != len(tokens)+2 {
		t.Fatalf("%d events, want %d", len(all), len(tokens)+2)
	}
	for i, e := range all {
		if e.id != strconv.Itoa(i+1) {
			t.Fatalf("event %d is numbered %s", i+1, e.id)
		}
	}
	if end := all[len(all)-1]; end.event != "done" {
		t.Fatalf("the last one is %v", end)
	}
	for _, at := range []int{1, 2, 3, streamPage - 1, streamPage, streamPage + 1, 2 * streamPage, len(all) - 2, len(all) - 1} {
		rest := g.follow(t, key, v.ID, strconv.Itoa(at)).rest()
		if fmt.Sprint(rest) != fmt.Sprint(all[at:]) {
			t.Errorf("behind %d: %d events, want %d", at, len(rest), len(all)-at)
		}
	}
	for _, at := range []int{len(all), len(all) + 5} {
		if s := g.follow(t, key, v.ID, strconv.Itoa(at)); s.resp.StatusCode != http.StatusNoContent {
			t.Errorf("behind %d: got %d, want 204", at, s.resp.StatusCode)
		}
	}
	g.call(t, key, "GET", "/api/jobs/"+v.ID+"/events?last_event_id="+strconv.Itoa(len(all)), "").want(204)
	for _, bad := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		g.call(t, key, "GET", "/api/jobs/"+v.ID+"/events", "", "Last-Event-ID", bad).problem(400, "invalid_header")
	}
}

// A job that has ended without telling anything still has a beginning and an end.
func TestFollowSilentJob(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	g.call(t, key, "POST", "/api/jobs/"+v.ID+"/cancel", "").want(200)
	if all := g.follow(t, key, v.ID, "").rest(); fmt.Sprint(all) != "[1 status 2 done]" {
		t.Errorf("got %v", all)
	}
	if all := g.follow(t, key, v.ID, "1").rest(); fmt.Sprint(all) != "[2 done]" {
		t.Errorf("behind 1: %v", all)
	}
	if s := g.follow(t, key, v.ID, "2"); s.resp.StatusCode != http.StatusNoContent {
		t.Errorf("behind 2: got %d", s.resp.StatusCode)
	}
}

// A client that is cut off again and again while the job runs, and whose hints are all lost, gets every
// event once and in order.
func TestReconnectsMissNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hints.deaf = true
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	w := g.work(t, org, v.ID)
	const tokens = 120
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range tokens {
			w.tell("token", `{"text":"`+strconv.Itoa(i)+`"}`)
		}
		w.finish(`{}`)
	}()
	last, got := "", []sse{}
	for done := false; !done; {
		s := g.follow(t, key, v.ID, last)
		for range 7 {
			e, ok := s.next()
			if !ok {
				break
			}
			got, last, done = append(got, e), e.id, e.event == "done"
		}
		s.cancel()
	}
	<-written
	if len(got) != tokens+2 {
		t.Fatalf("%d events, want %d", len(got), tokens+2)
	}
	for i, e := range got {
		if e.id != strconv.Itoa(i+1) {
			t.Fatalf("event %d is numbered %s", i+1, e.id)
		}
	}
}

func TestFollowAfterRetry(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	v := g.submit(t, key, aCompletion)
	w := g.work(t, org, v.ID)
	w.tell("token", `{"text":"a"}`)
	w.fail(`{"code":"schema_invalid"}`)
	if all := g.follow(t, key, v.ID, "").rest(); fmt.Sprint(all) != "[1 status 2 token 3 done]" {
		t.Fatalf("got %v", all)
	}
	g.call(t, key, "POST", "/api/jobs/"+v.ID+"/retry", "").want(200)
	s := g.follow(t, key, v.ID, "2")
	w = g.work(t, org, v.ID)
	w.tell("reset", `{"provider":"ollama","reason":"retried"}`)
	w.finish(`{}`)
	if all := s.rest(); fmt.Sprint(all) != "[3 reset 4 done]" {
		t.Errorf("got %v", all)
	}
}
