package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// fakeReplayer notes what it is asked for.
type fakeReplayer struct {
	redriven []int64
	spans    []ReplaySpan
	started  int
	err      error
}

func (f *fakeReplayer) Redrive(_ context.Context, ids []int64) (int, map[int64]error, error) {
	f.redriven = ids
	return 1, map[int64]error{7: errors.New("still no worker knows the kind")}, f.err
}

func (f *fakeReplayer) Plan(_ context.Context, what ReplaySpan) (ReplayPlan, error) {
	f.spans = append(f.spans, what)
	until := what.Until
	if until.IsZero() {
		until = time.Now()
	}
	return ReplayPlan{Until: until, Events: 3, Jobs: map[string]int{"mail.send": 1, "cache.invalidate": 2}}, f.err
}

func (f *fakeReplayer) Replay(ctx context.Context, what ReplaySpan) (ReplayPlan, int, error) {
	f.started++
	p, err := f.Plan(ctx, what)
	return p, 3, err
}

// fakeLog is a stream that has every event at the place that its number in the outbox names.
type fakeLog struct{ away bool }

func (f fakeLog) Message(context.Context, uint64) (LoggedMessage, error) {
	return LoggedMessage{}, errors.New("away")
}

func (f fakeLog) Places(_ context.Context, list []events.Position) ([]LoggedPlace, error) {
	if f.away {
		return nil, errors.New("away")
	}
	out := make([]LoggedPlace, len(list))
	for i, p := range list {
		out[i] = LoggedPlace{Seq: uint64(p.ID), At: time.Now()}
	}
	return out, nil
}

func (f fakeLog) Extent(context.Context) (LogExtent, error) {
	if f.away {
		return LogExtent{}, errors.New("away")
	}
	return LogExtent{First: 1, Last: 9, Messages: 9, Bytes: 900, FirstAt: time.Now(), LastAt: time.Now(), MaxAge: 720 * time.Hour, Replicas: 1}, nil
}

func TestAdminEvents(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.EventLog = fakeLog{} })
	org, key := g.organization(t)
	_, otherKey := g.organization(t)
	var ids []string
	for i := range 5 {
		j := g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"x"}}`, "X-Request-ID", fmt.Sprintf("r-%d", i)).want(202).job()
		ids = append(ids, j.ID)
	}
	g.call(t, otherKey, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"x"}}`).want(202)
	list := func(query string) (l operator.EventList) {
		t.Helper()
		g.call(t, testAdminKey, "GET", "/api/admin/events?"+query, "").want(200).json(&l)
		return l
	}
	// Newest first, page by page, each once.
	var walked []string
	for cursor := ""; ; {
		l := list("limit=2&type=job.requested&organization_id=" + strings.ToUpper(org) + "&cursor=" + cursor)
		for _, e := range l.Data {
			walked = append(walked, e.Subject)
		}
		if !l.HasMore {
			break
		}
		cursor = *l.NextCursor
	}
	slices.Reverse(walked)
	if !slices.Equal(walked, ids) {
		t.Errorf("walked %v, want %v", walked, ids)
	}
	for query, want := range map[string]int{"subject=" + ids[2]: 1, "request_id=r-3": 1, "request_id=none": 0, "created_before=2020-01-01T00:00:00Z": 0,
		"created_after=" + time.Now().Add(-time.Minute).UTC().Format(time.RFC3339): 6, "type=deal.won": 0} {
		if got := len(list(query).Data); got != want {
			t.Errorf("%s: %d events, want %d", query, got, want)
		}
	}
	g.call(t, testAdminKey, "GET", "/api/admin/events?type=nothing.happened", "").want(422)
	e := list("request_id=r-3").Data[0]
	if *e.Route != "POST /api/jobs" || e.OrganizationID != org || e.KeyID == nil {
		t.Errorf("the event is %+v", e)
	}
	var d operator.EventDetail
	r := g.call(t, testAdminKey, "GET", "/api/admin/events/"+e.ID, "").want(200)
	if r.json(&d); d.Seq == nil || d.Routed || strings.Contains(string(r.body), "max_attempts") {
		t.Errorf("the event is shown as %s", r.body)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", "/api/admin/events/"+e.ID+"/reveal", "").want(403)
	if r := g.call(t, testAdminKey, "POST", "/api/admin/events/"+e.ID+"/reveal", "").want(200); !strings.Contains(string(r.body), "max_attempts") {
		t.Errorf("revealed is %s", r.body)
	}
	if a := g.audit(t, "?action=event.reveal"); len(a) != 1 || a[0].TargetID != e.ID || *a[0].OrganizationID != org {
		t.Errorf("the audit log has %+v", a)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/events/"+ids[0], "").want(404)
}

func TestEventsState(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.EventLog = fakeLog{} })
	away := newRig(t, func(c *Config) { c.EventLog = fakeLog{away: true} })
	for _, g := range []*rig{g, away} {
		_, key := g.organization(t)
		g.call(t, key, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"x"}}`).want(202)
		var v operator.EventsState
		g.call(t, testAdminKey, "GET", "/api/admin/events/state", "").want(200).json(&v)
		var codes []string
		for _, p := range v.Problems {
			codes = append(codes, p.Code)
		}
		want := []string{"no_relay", "no_router"}
		if g == away {
			want = append([]string{"stream_away"}, want...)
		}
		if !slices.Equal(codes, want) || v.Router.Waiting != 1 || v.Relay.Waiting != 1 || v.Outbox.Days < 8 || v.Stream.Answers == (g == away) {
			t.Errorf("problems %v, want %v; %+v", codes, want, v)
		}
	}
}

func TestDeadEvents(t *testing.T) {
	t.Parallel()
	f := &fakeReplayer{}
	g := newRig(t, func(c *Config) { c.Replayer = f })
	for i := range 5 {
		g.execute(t, `INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason, redriven_at)
			VALUES ('router', $1::bigint, 's', '{"ce-id":["e"]}', 'secret content', $2, CASE WHEN $1::bigint = 3 THEN now() END)`, i, hostile)
	}
	var seqs []int64
	for cursor := ""; ; {
		var l operator.DeadEventList
		r := g.call(t, testAdminKey, "GET", "/api/admin/events/dead?limit=2&cursor="+cursor, "").want(200)
		r.json(&l)
		if strings.Contains(string(r.body), "secret content") {
			t.Errorf("the list has contents: %s", r.body)
		}
		for _, d := range l.Data {
			seqs = append(seqs, d.Seq)
		}
		if !l.HasMore {
			break
		}
		cursor = *l.NextCursor
	}
	if want := []int64{4, 2, 1, 0}; !slices.Equal(seqs, want) {
		t.Errorf("listed %v, want %v", seqs, want)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", "/api/admin/events/dead/redrive", `{"all":true}`).want(403)
	for _, body := range []string{`{}`, `{"ids":[1],"all":true}`} {
		g.call(t, testAdminKey, "POST", "/api/admin/events/dead/redrive", body).want(422)
	}
	if f.redriven != nil {
		t.Fatalf("%v were redriven by who may not, or said nonsense", f.redriven)
	}
	var v operator.Redriven
	g.call(t, testAdminKey, "POST", "/api/admin/events/dead/redrive", `{"ids":[6,7]}`).want(200).json(&v)
	if v.Done != 1 || len(v.Failed) != 1 || v.Failed[0].ID != 7 || !slices.Equal(f.redriven, []int64{6, 7}) {
		t.Errorf("got %+v, and %v were redriven", v, f.redriven)
	}
	if a := g.audit(t, "?action=event.redrive&outcome=done"); len(a) != 1 || !strings.Contains(string(a[0].After), `"done":1`) {
		t.Errorf("the audit log has %+v", a)
	}
}

func TestReplayOfEvents(t *testing.T) {
	t.Parallel()
	f := &fakeReplayer{}
	g := newRig(t, func(c *Config) { c.Replayer = f })
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, body := range []string{`{"since":"2020-01-01T00:00:00Z"}`, `{"since":"2999-01-01T00:00:00Z"}`, `{"since":"` + since + `","types":["no.such"]}`,
		`{"since":"` + since + `","organization_id":"x"}`, `{}`} {
		body = strings.Replace(body, "{", `{"dry_run":true,`, 1)
		body = strings.Replace(body, ",}", "}", 1)
		g.call(t, testAdminKey, "POST", "/api/admin/events/replay", body).want(422)
	}
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "POST", "/api/admin/events/replay", `{"since":"`+since+`","dry_run":true}`).want(403)
	var v operator.Replayed
	g.call(t, testAdminKey, "POST", "/api/admin/events/replay", `{"since":"`+since+`","types":["deal.won"],"dry_run":true}`).want(200).json(&v)
	if v.Total != 3 || v.Started != nil || f.started != 0 {
		t.Errorf("a dry run gave %+v, started %d times", v, f.started)
	}
	planned := v.Until
	order := func(until time.Time) string {
		return `{"since":"` + since + `","until":"` + until.Format(time.RFC3339Nano) + `","types":["deal.won"]}`
	}
	// What nobody has counted is not started.
	for _, body := range []string{`{"since":"` + since + `"}`, order(time.Now().Add(time.Hour)), order(time.Now().Add(-2 * time.Hour))} {
		g.call(t, testAdminKey, "POST", "/api/admin/events/replay", body).problem(422, "validation_failed", "/until")
	}
	if f.started != 0 {
		t.Fatalf("%d replays were started of what nobody has counted", f.started)
	}
	g.call(t, testAdminKey, "POST", "/api/admin/events/replay", order(planned)).want(200).json(&v)
	if v.Started == nil || *v.Started != 3 || f.started != 1 || !slices.Equal(f.spans[1].Types, []string{"deal.won"}) || !f.spans[1].Until.Equal(planned) {
		t.Errorf("got %+v, %+v", v, f.spans)
	}
	if a := g.audit(t, "?action=event.replay&outcome=done"); len(a) != 1 || !strings.Contains(string(a[0].After), `"started":3`) {
		t.Errorf("the audit log has %+v", a)
	}
}

// A lateReplayer does a part of what it is asked for, and then the request's time is over.
type lateReplayer struct {
	fakeReplayer
	over func()
	done int
}

func (f *lateReplayer) Redrive(ctx context.Context, _ []int64) (int, map[int64]error, error) {
	f.over()
	return f.done, nil, ctx.Err()
}

func (f *lateReplayer) Replay(ctx context.Context, what ReplaySpan) (ReplayPlan, int, error) {
	f.over()
	return ReplayPlan{Until: what.Until, Events: 9}, f.done, ctx.Err()
}

// Who asks for more than a request has time for is in the audit log with what was begun and what was done.
func TestWhatIsBrokenOffIsNoted(t *testing.T) {
	t.Parallel()
	f := &lateReplayer{}
	g := newRig(t, func(c *Config) { c.Replayer = f })
	x := &exchange{server: g.Server, id: "req-1", from: someAddress,
		caller: Operator{KeyID: "admin", OrganizationID: store.OperatorOrganization, Role: store.RoleAdmin}.caller()}
	now := time.Now()
	replay := func(ctx context.Context) error {
		_, err := g.replayEvents(ctx, &replayEventsInput{operator.Replay{Since: now.Add(-time.Hour), Until: &now}})
		return err
	}
	redrive := func(ctx context.Context) error {
		_, err := g.redriveDead(ctx, &redriveInput{operator.Redrive{All: true}})
		return err
	}
	noted := 0
	for _, c := range []struct {
		action         string
		do             func(context.Context) error
		done           int
		outcome, after string
	}{
		{"event.replay", replay, 2, "done", `"started":2`},
		{"event.replay", replay, 0, "failed", ""},
		{"event.redrive", redrive, 2, "done", `"done":2`},
		{"event.redrive", redrive, 0, "failed", ""},
	} {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), exchangeKey{}, x))
		f.done, f.over = c.done, func() {
			noted++
			if a := g.audit(t, ""); len(a) != 2*noted-1 || a[0].Action != c.action+"_begin" || a[0].Outcome != "done" {
				t.Errorf("%s that has begun is noted as %+v", c.action, a)
			}
			cancel()
		}
		if err := c.do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s answered %v", c.action, err)
		}
		a := g.audit(t, "?action="+c.action)
		if len(a) == 0 || a[0].Outcome != c.outcome || !strings.Contains(string(a[0].After), c.after) ||
			strings.Contains(string(a[0].After), "broken_off") != (c.done > 0) {
			t.Errorf("%s that was broken off after %d is noted as %+v", c.action, c.done, a)
		}
	}
}
