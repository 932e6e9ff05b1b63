package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

func TestSubmitStoresJobAndEvent(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := g.call(t, key, "POST", "/api/jobs",
		`{"kind":"ai.completion","input":{"prompt":"hello","n":1e400},"metadata":{"k":12345678901234567890.5},"priority":"high"}`,
		"X-Request-ID", "my-request", "Traceparent", trace).want(202)
	v := r.job()
	if r.header.Get("Location") != "/api/jobs/"+v.ID || r.header.Get("Retry-After") != "1" || r.header.Get("X-Request-ID") != "my-request" {
		t.Errorf("headers %v", r.header)
	}
	if string(v.Input) != `{"prompt":"hello","n":1e400}` || string(v.Metadata) != `{"k":12345678901234567890.5}` {
		t.Errorf("input %s and metadata %s are not what was sent", v.Input, v.Metadata)
	}
	j, err := g.system.Job(t.Context(), org, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if j.Priority != 1 || *j.RequestID != "my-request" || *j.TraceParent != trace || j.Overflow || j.MaxAttempts != 3 {
		t.Errorf("row %+v", j)
	}
	e := g.facts(t, v.ID)[0]
	if e.id != j.EventID || e.typ != "job.requested" || e.correlation != "my-request" || e.trace != trace {
		t.Errorf("event %+v, job's event %s", e, j.EventID)
	}
	want := events.JobRequested{JobID: v.ID, Kind: "ai.completion", Queue: "ai", Run: 1, Priority: 1, MaxAttempts: 3,
		RunAt: v.RunAt, Version: 1}
	if got := e.requested(t); got != want {
		t.Errorf("fact %+v, want %+v", got, want)
	}
	if g.hints.outbox == 0 {
		t.Error("the relay was not told")
	}
	// What was read later says the same as what was answered.
	again := g.call(t, key, "GET", "/api/jobs/"+v.ID, "").want(200).job()
	if again.CreatedAt != v.CreatedAt || again.RunAt != v.RunAt || again.Status != "queued" {
		t.Errorf("answered %+v, read %+v", v, again)
	}
}

func TestTraceParentIsMadeWhenInvalid(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	for _, given := range []string{"", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		v := g.submit(t, key, aCompletion, "Traceparent", given, "X-Request-ID", "bad id")
		j, err := g.system.Job(t.Context(), org, v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if *j.TraceParent == given || !validTraceParent(*j.TraceParent) {
			t.Errorf("given %q, stored %q", given, *j.TraceParent)
		}
		if !strings.HasPrefix(*j.RequestID, "req_") {
			t.Errorf("request id %q", *j.RequestID)
		}
	}
}

func TestSubmitRefusals(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	in := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339Nano) }
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		pointers   []string
	}{
		{"empty", ``, 400, "invalid_json", nil},
		{"cut", `{"kind":`, 400, "invalid_json", nil},
		{"two values", `{} {}`, 400, "invalid_json", nil},
		{"not UTF-8", "{\"kind\":\"\xff\"}", 400, "invalid_json", nil},
		{"list", `[]`, 422, "validation_failed", []string{""}},
		{"null", `null`, 422, "validation_failed", []string{""}},
		{"nothing in it", `{}`, 422, "validation_failed", []string{"/input", "/kind"}},
		{"kind of another type", `{"kind":5,"input":{}}`, 422, "validation_failed", []string{"/kind"}},
		{"null kind", `{"kind":null,"input":{}}`, 422, "validation_failed", []string{"/kind"}},
		{"unknown kind", `{"kind":"ai.magic","input":{}}`, 422, "unknown_kind", []string{"/kind"}},
		{"unknown field", `{"kind":"ai.completion","input":{"prompt":"x"},"a/b":1}`, 422, "validation_failed", []string{"/a~1b"}},
		{"other case", `{"Kind":"ai.completion","input":{"prompt":"x"}}`, 422, "validation_failed", []string{"/Kind", "/kind"}},
		{"input list", `{"kind":"ai.completion","input":[]}`, 422, "validation_failed", []string{"/input"}},
		{"input null", `{"kind":"ai.completion","input":null}`, 422, "validation_failed", []string{"/input"}},
		{"input of the kind", `{"kind":"ai.completion","input":{"x":1}}`, 422, "validation_failed", []string{"/input/prompt", "/input/x"}},
		{"NUL", `{"kind":"ai.completion","input":{"prompt":"a\u0000b"}}`, 422, "validation_failed", []string{"/input/prompt"}},
		{"NUL in a key", `{"kind":"ai.completion","input":{"prompt":"x"},"metadata":{"a\u0000":1}}`, 422, "validation_failed", []string{"/metadata/a\x00"}},
		{"half a pair", `{"kind":"ai.completion","input":{"prompt":["",{"x":"\ud800"}]}}`, 422, "validation_failed", []string{"/input/prompt/1/x"}},
		{"low half", `{"kind":"ai.completion","input":{"prompt":"\udc00"}}`, 422, "validation_failed", []string{"/input/prompt"}},
		{"deep", `{"kind":"ai.completion","input":{"prompt":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}`, 422, "validation_failed", nil},
		{"exploding number", `{"kind":"ai.completion","input":{"prompt":"x","n":1e200000}}`, 422, "validation_failed", []string{"/input/n"}},
		{"tiny number", `{"kind":"ai.completion","input":{"prompt":"x","n":1e-200000}}`, 422, "validation_failed", []string{"/input/n"}},
		{"priority", `{"kind":"ai.completion","input":{"prompt":"x"},"priority":"urgent"}`, 422, "validation_failed", []string{"/priority"}},
		{"run_at", `{"kind":"ai.completion","input":{"prompt":"x"},"run_at":"tomorrow"}`, 422, "validation_failed", []string{"/run_at"}},
		{"run_at in two years", `{"kind":"ai.completion","input":{"prompt":"x"},"run_at":"` + in(2*365*24*time.Hour) + `"}`, 422, "validation_failed", []string{"/run_at"}},
		{"deadline behind us", `{"kind":"ai.completion","input":{"prompt":"x"},"deadline":"` + in(-time.Hour) + `"}`, 422, "validation_failed", []string{"/deadline"}},
		{"deadline before run_at", `{"kind":"ai.completion","input":{"prompt":"x"},"deadline":"` + in(time.Hour) + `","run_at":"` + in(2*time.Hour) + `"}`, 422, "validation_failed", []string{"/deadline"}},
		{"metadata", `{"kind":"ai.completion","input":{"prompt":"x"},"metadata":[]}`, 422, "validation_failed", []string{"/metadata"}},
		{"much metadata", `{"kind":"ai.completion","input":{"prompt":"x"},"metadata":{"x":"` + strings.Repeat("x", 16<<10) + `"}}`, 422, "validation_failed", []string{"/metadata"}},
		{"callback", `{"kind":"ai.completion","input":{"prompt":"x"},"callback_url":"https://10.0.0.1/"}`, 422, "validation_failed", []string{"/callback_url"}},
		{"admin kind", `{"kind":"db.backup","input":{}}`, 403, "forbidden", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g.call(t, key, "POST", "/api/jobs", c.body).problem(c.status, c.code, c.pointers...)
		})
	}
	t.Run("the kinds there are", func(t *testing.T) {
		t.Parallel()
		p := g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.magic","input":{}}`).problem(422, "unknown_kind")
		if !strings.Contains(p.Detail, "ai.completion, mail.send") || strings.Contains(p.Detail, "db.backup") {
			t.Errorf("detail %q", p.Detail)
		}
	})
}

func TestSubmitTimes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	before := time.Now().Add(-time.Second)
	past := g.submit(t, key, `{"kind":"ai.completion","input":{"prompt":"x"},"run_at":"2001-01-01T00:00:00Z","deadline":null,"metadata":null,"priority":null,"callback_url":null}`)
	if past.RunAt.Before(before) || past.Deadline != nil || past.Priority != "normal" || string(past.Metadata) != "{}" {
		t.Errorf("got %+v", past)
	}
	at := time.Now().Add(10 * time.Minute).In(time.FixedZone("IST", 19800)).Format(time.RFC3339)
	r := g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"x"},"run_at":"`+at+`"}`).want(202)
	if want, _ := time.Parse(time.RFC3339, at); !r.job().RunAt.Equal(want) || r.header.Get("Retry-After") != "60" {
		t.Errorf("run at %s, want %s; Retry-After %s", r.job().RunAt, want, r.header.Get("Retry-After"))
	}
	if !strings.Contains(string(r.body), `Z","deadline"`) {
		t.Errorf("run_at is not in UTC: %s", r.body)
	}
}

func TestBatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+aCompletion+`,{"kind":"ai.magic","input":{}},{"kind":"ai.completion","input":{}}]}`).
		problem(422, "unknown_kind", "/jobs/1/kind", "/jobs/2/input/prompt")
	for name, body := range map[string]string{
		"none": `{"jobs":[]}`, "missing": `{}`, "no list": `{"jobs":{}}`,
		"too many": `{"jobs":[` + strings.TrimSuffix(strings.Repeat("{},", 1001), ",") + `]}`,
	} {
		if p := g.call(t, key, "POST", "/api/jobs/batch", body).problem(422, "validation_failed"); p.Errors[0].Pointer != "/jobs" {
			t.Errorf("%s: %v", name, p.Errors)
		}
	}
	g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+aCompletion+`],"x":1}`).problem(422, "validation_failed", "/x")
	g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+aCompletion+`,{"kind":"db.backup","input":{}}]}`).problem(403, "forbidden")
	if rows, err := g.system.Jobs(t.Context(), org, store.JobFilter{Limit: 10}); err != nil || len(rows) != 0 {
		t.Fatalf("refused batches left %d jobs, %v", len(rows), err)
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"kind":"ai.completion","input":{"prompt":"%d"}}`, i)
	}
	var out batchAnswer
	g.call(t, key, "POST", "/api/jobs/batch", `{"jobs":[`+strings.Join(many, ",")+`]}`).want(202).json(&out)
	if len(out.Data) != 1000 || string(out.Data[999].Input) != `{"prompt":"999"}` {
		t.Fatalf("%d jobs, last %s", len(out.Data), out.Data[len(out.Data)-1].Input)
	}
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE type = 'job.requested'`); n != 1000 {
		t.Errorf("%d events, want 1000", n)
	}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	var all []string
	for i := range 7 {
		kind := `{"kind":"mail.send","input":{}}`
		if i%2 == 0 {
			kind = aCompletion
		}
		all = append(all, g.submit(t, key, kind).ID)
	}
	var got []string
	for cursor := ""; ; {
		var p page[jobView]
		g.call(t, key, "GET", "/api/jobs?limit=3"+cursor, "").want(200).json(&p)
		for _, j := range p.Data {
			got = append([]string{j.ID}, got...)
		}
		if p.HasMore != (p.NextCursor != nil) {
			t.Fatalf("has_more %v with cursor %v", p.HasMore, p.NextCursor)
		}
		if !p.HasMore {
			break
		}
		cursor = "&cursor=" + *p.NextCursor
	}
	if strings.Join(got, " ") != strings.Join(all, " ") {
		t.Errorf("paged %v, want %v", got, all)
	}
	g.call(t, key, "POST", "/api/jobs/"+all[0]+"/cancel", "").want(200)
	created := g.call(t, key, "GET", "/api/jobs/"+all[3], "").job().CreatedAt.Format(time.RFC3339Nano)
	for query, want := range map[string]int{
		"kind=mail.send": 3, "kind=no.such": 0, "status=cancelled": 1, "status=queued": 6, "status=queued&kind=ai.completion": 3,
		"created_before=" + created: 3, "created_after=" + created: 4, "limit=200": 7,
	} {
		var p page[jobView]
		g.call(t, key, "GET", "/api/jobs?"+query, "").want(200).json(&p)
		if len(p.Data) != want {
			t.Errorf("%s: %d jobs, want %d", query, len(p.Data), want)
		}
	}
	var first page[jobView]
	g.call(t, key, "GET", "/api/jobs?limit=1", "").want(200).json(&first)
	g.call(t, key, "GET", "/api/jobs?kind=mail.send&cursor="+*first.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, key, "GET", "/api/jobs?limit=5&cursor="+*first.NextCursor, "").want(200)
	g.call(t, key, "GET", "/api/jobs?cursor=abc", "").problem(400, "invalid_cursor")
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "status=done", "created_after=yesterday", "kind=%22", "colour=red"} {
		name, _, _ := strings.Cut(query, "=")
		g.call(t, key, "GET", "/api/jobs?"+query, "").problem(422, "validation_failed", "/query/"+name)
	}
	g.call(t, key, "GET", "/api/jobs?kind=a%00", "").problem(400, "bad_request")
	g.call(t, key, "GET", "/api/jobs?kind=%ff", "").problem(400, "bad_request")
}

func TestFairShareAtTheDoor(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, other := g.organization(t)
	const mail = `{"kind":"mail.send","input":{}}`
	overflow := func(id string) bool {
		j, err := g.system.Job(t.Context(), org, id)
		if err != nil {
			t.Fatal(err)
		}
		if f := g.facts(t, id)[0].requested(t); f.Overflow != j.Overflow {
			t.Errorf("job says overflow %v, its event %v", j.Overflow, f.Overflow)
		}
		return j.Overflow
	}
	var ids []string
	for i := range 5 {
		v := g.submit(t, key, mail)
		ids = append(ids, v.ID)
		if got, want := overflow(v.ID), i >= 3; got != want {
			t.Errorf("job %d: overflow %v", i, got)
		}
	}
	if g.submit(t, key, aCompletion); overflow(ids[0]) {
		t.Error("the full queue is another one's")
	}
	v := g.submit(t, other, mail)
	if n := g.count(t, `SELECT count(*) FROM jobs WHERE overflow AND id = '`+v.ID+`'`); n != 0 {
		t.Error("another organization's job is beyond the share")
	}
	// An API process that comes later finds the places taken.
	later, err := New(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if later.takeShare(t.Context(), shareKey{org, "mail"}, 3) {
		t.Error("a new process gave a place away that was taken")
	}
	// A place that was left is found by the recount.
	g.call(t, key, "POST", "/api/jobs/"+ids[0]+"/cancel", "").want(200)
	eventually(t, func() bool { return !overflow(g.submit(t, key, mail).ID) })
}

func TestRefusedSubmitTakesNoPlace(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	for range 10 {
		g.submit(t, key, `{"kind":"mail.send","input":{}}`, "Idempotency-Key", "the same")
	}
	if n := g.shares.of[shareKey{org, "mail"}].jobs; n != 1 {
		t.Errorf("%d places taken for one job", n)
	}
}

// fact is a row of the outbox.
type fact struct {
	id, typ, correlation, trace, data string
}

func (f fact) requested(t testing.TB) events.JobRequested {
	t.Helper()
	var got events.JobRequested
	if err := json.Unmarshal([]byte(f.data), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// facts reads what the outbox says of one thing.
func (g *rig) facts(t testing.TB, subject string) []fact {
	t.Helper()
	rows, err := g.system.Pool().Query(t.Context(),
		`SELECT event_id::text, type, coalesce(correlation_id, ''), coalesce(traceparent, ''), data::text FROM outbox WHERE subject = $1 ORDER BY xid, id`, subject)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f fact, err error) {
		return f, row.Scan(&f.id, &f.typ, &f.correlation, &f.trace, &f.data)
	})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func (g *rig) count(t testing.TB, sql string) (n int) {
	t.Helper()
	if err := g.system.Pool().QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually asks until the answer is yes, at most ten seconds.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("it did not come true in ten seconds")
		case <-again.C:
		}
	}
}
