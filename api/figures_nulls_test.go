package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/minutes"
)

// nullFacts are null where there is nothing to tell; that is not a figure that could not be had.
var nullFacts = []string{"paused_at", "reason", "lastClass", "lastFailureAt", "nextProbeAt", "last_cause", "last_failure_at", "next_try_at"}

// unexplained gives the paths of nulls that no list of reasons names, themselves or what they are in. Lists within
// parts name figures of their part. Elements of lists go by their name.
func unexplained(t *testing.T, body []byte) (paths []string) {
	t.Helper()
	var whole map[string]any
	if err := json.Unmarshal(body, &whole); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	var gather func(at string, v map[string]any)
	gather = func(at string, v map[string]any) {
		if list, ok := v["unmeasured"].([]any); ok {
			for _, one := range list {
				reason := one.(map[string]any)
				if reason["reason"] == "" {
					t.Errorf("%s%s has an empty reason", at, reason["figure"])
				}
				reasons = append(reasons, at+reason["figure"].(string))
			}
		}
		for key, part := range v {
			if part, ok := part.(map[string]any); ok {
				gather(at+key+".", part)
			}
		}
	}
	gather("", whole)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, part := range v {
				walk(strings.TrimPrefix(at+"."+key, "."), part)
			}
		case []any:
			for _, part := range v {
				name := at
				if one, ok := part.(map[string]any); ok {
					for _, key := range []string{"queue", "provider", "id", "name"} {
						if s, ok := one[key].(string); ok {
							name = at + "." + s
							break
						}
					}
				}
				walk(name, part)
			}
		case nil:
			key := at[strings.LastIndex(at, ".")+1:]
			explained := slices.ContainsFunc(reasons, func(r string) bool { return at == r || strings.HasPrefix(at, r+".") })
			if !explained && !slices.Contains(nullFacts, key) {
				paths = append(paths, at)
			}
		}
	}
	walk("", whole)
	slices.Sort(paths)
	return paths
}

// Whatever is null says why: on an installation where nothing has happened, where nobody counts, and where some has.
func TestNoFigureIsNullWithoutReason(t *testing.T) {
	t.Parallel()
	check := func(what string, g *rig) {
		t.Helper()
		if paths := unexplained(t, g.call(t, testAdminKey, "GET", "/api/system/metrics", "").want(200).body); len(paths) > 0 {
			t.Errorf("%s: nobody says why these are null:\n%s", what, strings.Join(paths, "\n"))
		}
	}
	check("nobody counts", newRig(t))
	away := errors.New("away")
	g, r := counted(t, nil, "one", func(c *Config) {
		c.Figures.Stream = func(context.Context) (StreamEnds, error) { return StreamEnds{}, away }
	})
	check("nothing has happened, and the stream is away", g)
	away = nil
	check("the stream is empty", g)
	organization, key := g.organization(t)
	g.call(t, key, "POST", "/api/contacts", `{"name":"A"}`).want(201)
	r.Job(minutes.Job{Queue: "ai", Outcome: "lost", Took: -1})
	g.ledger(t, organization, ledgerCall{"rules", "ok", 0, 0, false, "now()"})
	g.ledger(t, organization, ledgerCall{"ollama", "timeout", 0, 0, false, "now()"})
	g.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, providers) VALUES ('a', 'h', 1, '{"mail":8}', 'x',
		'[{"provider":"smtp","model":"mail.example.com","state":"closed","last_class":""},{"provider":"ollama","model":"m","state":"closed","last_class":""}]')`)
	check("a little has happened", g)
}

// What a process can't say of its machine is null in its own part too, with its own reason.
func TestProcessesSayWhyTheirFiguresAreNull(t *testing.T) {
	t.Parallel()
	share := 12.5
	for name, c := range map[string]struct {
		figures machine.Figures
		want    map[string]string
	}{
		"nothing":  {machine.Figures{Unmeasured: map[string]string{"memory": "no /proc"}}, map[string]string{"memory": "no /proc", "cpu": "the process has not said"}},
		"too soon": {machine.Figures{CPU: &machine.CPU{Source: machine.CgroupV2}}, map[string]string{"cpu.percent": "the process has not run long enough to say"}},
		"no limit": {machine.Figures{CPU: &machine.CPU{Source: machine.Host, Percent: &share}}, map[string]string{"cpu.throttled_percent": "no limit of processor time holds it back"}},
	} {
		r := minutes.New(minutes.Config{Process: minutes.Process{ID: "one", Role: "api", Host: "h"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Gauges: func() any { return ProcessGauges{Machine: c.figures} }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		g := newRig(t, func(c *Config) { c.Figures = Figures{Hour: r.Hour} })
		eventually(t, func() bool { return len(r.Hour(t.Context()).Processes[0].Gauges) > 0 })
		v := g.metrics(t)
		for figure, reason := range c.want {
			if got := v.reason("processes.one." + figure); got != reason {
				t.Errorf("%s: %s: got %q, want %q", name, figure, got, reason)
			}
		}
		if paths := unexplained(t, []byte(shown(v))); len(paths) > 0 {
			t.Errorf("%s: nobody says why these are null: %v", name, paths)
		}
		stop()
		<-done
	}
}

// Counting ends at a bound, and the answer says that there are at least so many.
func TestCountsSayThatTheyEndAtABound(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	if v := g.metrics(t); len(v.AtLeast) != 0 {
		t.Errorf("of nothing there are at least %v", v.AtLeast)
	}
	g.execute(t, `INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason) SELECT 'router', n, 's', '{}', '', 'x' FROM generate_series(1, 10003) AS n`)
	v := g.metrics(t)
	if v.Events.Dead != 10_000 || !slices.Equal(v.AtLeast, []string{"events.dead"}) {
		t.Errorf("got %d dead events, at least %v", v.Events.Dead, v.AtLeast)
	}
	if d := g.details(t)["dead_events"]; !strings.HasPrefix(d.Detail, "10000 or more messages") {
		t.Errorf("got %+v", d)
	}
}

// An index that was left half built and migrations that are pending are somebody's business.
func TestHealthTellsOfTheSchema(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.Figures.Schema = 99_999 })
	if d := g.details(t)["schema"]; d.State != "degraded" || !strings.Contains(d.Detail, "payaid migrate") || !strings.Contains(d.Detail, "99999") {
		t.Errorf("with pending migrations: got %+v", d)
	}
	if d := g.details(t)["indexes"]; d.State != "ok" {
		t.Errorf("got %+v", d)
	}
	g.superExecute(t, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_contacts_org_id'::regclass`)
	if d := g.details(t)["indexes"]; d.State != "degraded" || !strings.Contains(d.Detail, "idx_contacts_org_id") || !strings.Contains(d.Detail, "payaid doctor") {
		t.Errorf("with an invalid index: got %+v", d)
	}
	// A login that may not read what was applied is no fault of the schema.
	g.superExecute(t, `ALTER TABLE goose_db_version OWNER TO CURRENT_USER`)
	if d := g.details(t)["schema"]; d.State != "unknown" || !strings.Contains(d.Detail, "payaid migrate status") {
		t.Errorf("to a login that may not look: got %+v", d)
	}
}

// superExecute does in the database of the rig what none of our roles may.
func (g *rig) superExecute(t *testing.T, sql string) {
	t.Helper()
	pg, _ := migrated(t)
	u, err := url.Parse(g.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	super, err := pgx.Connect(t.Context(), pg.SuperURL(strings.TrimPrefix(u.Path, "/")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = super.Exec(t.Context(), sql)
	if err = errors.Join(err, super.Close(t.Context())); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
