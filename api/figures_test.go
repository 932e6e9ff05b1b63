package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/minutes"
)

// counted gives a rig whose requests are counted by a recorder, beside others on the same Redis.
func counted(t *testing.T, o *redis.Options, id string, change ...func(*Config)) (*rig, *minutes.Recorder) {
	t.Helper()
	r := minutes.New(minutes.Config{Redis: o, Process: minutes.Process{ID: id, Role: "api", Host: "h"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Gauges: func() any {
			full := 91.5
			return ProcessGauges{Version: "test", Pools: []PoolGauge{{Pool: "requests", Size: 20, Most: 30, InUse: 2, Idle: 1}},
				Machine: machine.Figures{Resident: 7 << 20, Memory: &machine.Memory{Source: machine.CgroupV2, Limit: 256 << 20, Used: 128 << 20, Percent: 50},
					Disks: []machine.Disk{{Name: "backups", Path: "/backups", Total: 100, Free: 8, Percent: &full}, {Name: "data", Path: "/data", Reason: "no such file"}}}}
		}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	g := newRig(t, append([]func(*Config){func(c *Config) {
		c.Watch = func(o Observation) {
			r.Request(minutes.Request{Status: o.Status, Took: o.Took, Probe: o.Probe, Lasting: o.Lasting, Gone: o.Gone()})
		}
		c.Figures = Figures{Hour: r.Hour, Shared: o != nil, Queues: []string{"ai", "webhook"}}
	}}, change...)...)
	return g, r
}

func redisDatabase(t *testing.T, n int) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(localstack.TestRedis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	o.DB = n
	return o
}

func (v systemMetricsView) reason(figure string) string {
	for _, u := range v.Unmeasured {
		if u.Figure == figure {
			return u.Reason
		}
	}
	return ""
}

// Two API processes and 10,000 requests: each is counted once, wherever one asks.
func TestRequestsOfAllProcessesAreCounted(t *testing.T) {
	t.Parallel()
	o := redisDatabase(t, 14)
	one, r1 := counted(t, o, "one")
	two, r2 := counted(t, o, "two")
	_, key := one.organization(t)
	var clients sync.WaitGroup
	const each, at = 1250, 4
	for _, g := range []*rig{one, two} {
		for range at {
			clients.Go(func() {
				for i := range each {
					path := "/no/such/path"
					if g == one && i%25 == 0 {
						path = "/api/contacts"
					}
					if g == two && i%50 == 0 {
						path = "/livez"
					}
					r := httptest.NewRequest("GET", path, nil)
					r.Header.Set("Authorization", "Bearer "+key)
					g.Handler().ServeHTTP(httptest.NewRecorder(), r)
				}
			})
		}
	}
	clients.Wait()
	const want = 2*each*at + 1 // and that which made the organization
	eventually(t, func() bool { return r1.Hour(t.Context()).Requests == want && r2.Hour(t.Context()).Requests == want })
	v := one.metrics(t)
	if v.Scope != "all" || v.Partial || len(v.Because) != 0 || v.Replicas != 2 || v.Window < 3600 || v.Window >= 3660 {
		t.Errorf("scope %s, partial %v %v, of %d for %d s", v.Scope, v.Partial, v.Because, v.Replicas, v.Window)
	}
	for started, partial := range map[string]bool{"1 second": false, "1 minute": true} {
		two.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, started_at) VALUES ('w', 'h', 1, '{}', 'x', now() - $1::interval)`, started)
		if v := two.metrics(t); v.Partial != partial {
			t.Errorf("with a worker of %s that doesn't count: partial %v, %v", started, v.Partial, v.Because)
		}
		two.execute(t, `DELETE FROM worker_processes`)
	}
	if *v.API.RequestsLastHour != want || *v.API.ErrorsLastHour != 0 || *v.API.ProbesLastHour != at*each/50 ||
		v.API.AvgResponseTime == nil || *v.API.AvgResponseTime <= 0 || *v.API.P95ResponseTime <= 0 {
		t.Errorf("got %s, want %d requests", shown(v.API), want)
	}
	if p := v.Processes[1]; p.ID != "two" || p.Role != "api" || *p.ResidentBytes != 7<<20 || p.Memory.Percent != 50 || p.CPU != nil || p.Pools[0].InUse != 2 {
		t.Errorf("got process %s", shown(p))
	}
	if *v.System.DiskUsage != 91.5 || *v.System.MemoryUsage != 50 || v.System.CPUUsage != nil || len(v.System.Disks) != 2 ||
		v.reason("system.cpuUsage") == "" || v.reason("system.disks.data") != "no such file" {
		t.Errorf("got %s, %v", shown(v.System), v.Unmeasured)
	}
}

func shown(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// What is answered with a fault of ours is an error, and what clients do wrong is not.
func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	g, _ := counted(t, nil, "one", func(c *Config) {
		c.Checks = []Check{{Name: "postgres", Required: true, Probe: func(context.Context) (string, error) { return "", errors.New("away") }}}
	})
	for range 3 {
		g.call(t, "", "GET", "/readyz", "").want(503)
		g.call(t, "", "GET", "/api/contacts", "").want(401)
	}
	v := g.metrics(t)
	if *v.API.RequestsLastHour != 6 || *v.API.ErrorsLastHour != 3 || *v.API.ProbesLastHour != 3 {
		t.Errorf("got %s", shown(v.API))
	}
	// Without Redis a process knows its own figures, and says that they are no more than that.
	if v.Scope != "process" || !v.Partial || len(v.Because) != 1 || !strings.Contains(v.Because[0], "REDIS_URL") || v.Replicas != 1 {
		t.Errorf("scope %s, partial %v %v", v.Scope, v.Partial, v.Because)
	}
}

// A Redis that is away costs neither the answer nor what this process counted.
func TestFiguresWithoutRedis(t *testing.T) {
	t.Parallel()
	o := redisDatabase(t, 13)
	o.Addr = "127.0.0.1:1"
	g, _ := counted(t, o, "one")
	g.call(t, "", "GET", "/no/such/path", "").want(404)
	v := g.metrics(t)
	if v.Scope != "process" || !v.Partial || *v.API.RequestsLastHour != 1 || !strings.Contains(v.Because[0], "can't be asked") {
		t.Errorf("scope %s, partial %v %v, %s", v.Scope, v.Partial, v.Because, shown(v.API))
	}
}

// Where nobody counts nothing is made up.
// A full Redis can be read: what is missing of others is not the fault of how they are configured.
func TestFiguresOfAFullRedis(t *testing.T) {
	t.Parallel()
	s := &Server{Config: Config{Figures: Figures{Shared: true}}}
	f := figures{counted: true, hour: minutes.Hour{Scope: minutes.Everybody, Why: errors.New("OOM command not allowed")}}
	if d := s.countingDetail(f); d.State != stateDegraded || !strings.Contains(d.Detail, "takes nothing") || strings.Contains(d.Detail, "REDIS_URL") {
		t.Errorf("got %+v", d)
	}
}

func TestFiguresThatNobodyCounts(t *testing.T) {
	t.Parallel()
	v := newRig(t).metrics(t)
	if v.API.RequestsLastHour != nil || v.Database.SlowQueries != nil || v.System.DiskUsage != nil || v.Events.StreamLast != nil || v.Database.CacheHitRate != nil {
		t.Errorf("got %s, %s, %s, %s", shown(v.API), shown(v.Database), shown(v.System), shown(v.Events))
	}
	for _, figure := range []string{"api", "database.slowQueries", "database.cacheHitRate", "database.statements", "system.diskUsage", "system.memoryUsage",
		"system.cpuUsage", "events.stream_last", "events.unpublished"} {
		if v.reason(figure) == "" {
			t.Errorf("nobody says why %s is null: %v", figure, v.Unmeasured)
		}
	}
	if d := v.Database; d.ActiveConnections < 1 || d.MaxConnections < 10 || d.UtilizationPercent <= 0 || d.Pool.Size != 10 || len(d.Connections) == 0 {
		t.Errorf("what the database knows is not shown: %s", shown(d))
	}
}

// What queues have now, who works them, and what left them.
func TestFiguresOfQueues(t *testing.T) {
	t.Parallel()
	g, r := counted(t, nil, "one")
	g.execute(t, `INSERT INTO river_job (kind, args, max_attempts, queue, state, scheduled_at) SELECT 'k', '{}', 3, 'ai', 'available', now() - interval '100 s' FROM generate_series(1, 3)`)
	g.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at) VALUES
		('a', 'h', 1, '{"ai":2,"mail":8}', 'x', now()), ('b', 'h', 2, '{"ai":3}', 'x', now()), ('dead', 'h', 3, '{"ai":50}', 'x', now() - interval '1 minute')`)
	for _, outcome := range []string{"succeeded", "succeeded", "failed", "lost"} {
		took := 40 * time.Millisecond
		if outcome == "lost" {
			took = -1
		}
		r.Job(minutes.Job{Queue: "ai", Outcome: outcome, Wait: time.Second, Took: took})
	}
	r.SlowQuery(time.Second)
	v := g.metrics(t)
	queues := make(map[string]queueMetricsView)
	for _, q := range v.Queues {
		queues[q.Queue] = q
	}
	ai := queues["ai"]
	if ai.Available != 3 || ai.Workers != 2 || ai.Places != 5 || *ai.OldestAvailableSeconds < 100 || *ai.OldestAvailableSeconds > 200 {
		t.Errorf("got %s", shown(ai))
	}
	if h := ai.LastHour; h.Succeeded != 2 || h.Failed != 1 || h.Lost != 1 || *h.AvgMS != 40 || *h.P95WaitMS < 750 || *h.P95WaitMS > 1000 {
		t.Errorf("got %s", shown(ai.LastHour))
	}
	if w := queues["webhook"]; w.Queue != "webhook" || w.Workers != 0 || w.OldestAvailableSeconds != nil {
		t.Errorf("a queue that nobody works: got %s", shown(w))
	}
	if m := queues["mail"]; m.Places != 8 || m.LastHour == nil || m.LastHour.AvgMS != nil {
		t.Errorf("got %s", shown(m))
	}
	if *v.Database.SlowQueries != 1 {
		t.Errorf("got %d slow queries", *v.Database.SlowQueries)
	}
}

func TestFiguresOfTheStream(t *testing.T) {
	t.Parallel()
	ends, away := StreamEnds{First: 3, Last: 9}, error(nil)
	g, _ := counted(t, nil, "one", func(c *Config) {
		c.Figures.Stream = func(context.Context) (StreamEnds, error) { return ends, away }
	})
	_, key := g.organization(t)
	g.call(t, key, "POST", "/api/contacts", `{"name":"A"}`).want(201)
	if e := g.metrics(t).Events; *e.StreamFirst != 3 || *e.StreamLast != 9 || e.Unpublished != nil || e.Unrouted < 1 {
		t.Errorf("got %s", shown(e))
	}
	ends = StreamEnds{}
	if e := g.metrics(t).Events; e.Unpublished == nil || *e.Unpublished < 1 {
		t.Errorf("of an empty stream: got %s", shown(e))
	}
	ends = StreamEnds{First: 1, Last: 1, At: &events.Position{Epoch: "elsewhere"}}
	if e := g.metrics(t).Events; e.Unpublished != nil {
		t.Errorf("of another outbox: got %s", shown(e))
	}
	away = errors.New("secret-host is away")
	v := g.metrics(t)
	if v.Events.StreamLast != nil || v.reason("events.stream_first") != "NATS can't be asked" {
		t.Errorf("got %s, %v", shown(v.Events), v.Unmeasured)
	}
}

// details gives what an admin reads of the health, by name.
func (g *rig) details(t *testing.T) map[string]healthDetail {
	t.Helper()
	var v healthView
	r := g.call(t, testAdminKey, "GET", "/api/system/health", "").want(200).json(&v)
	list, status := make(map[string]healthDetail), "ok"
	for _, d := range v.Details {
		if d.State == "degraded" {
			status = "degraded"
		}
		if _, twice := list[d.Name]; twice || d.Detail == "" || strings.Contains(string(r.body), "secret") {
			t.Errorf("got %+v of %s", d, r.body)
		}
		list[d.Name] = d
	}
	if v.Status != status {
		t.Errorf("got status %s, want %s as of %s", v.Status, status, r.body)
	}
	return list
}

// Everything that someone should look at is said to an admin, with what to do, and to nobody else.
func TestDetailsOfHealth(t *testing.T) {
	t.Parallel()
	g, _ := counted(t, nil, "one", func(c *Config) { c.Figures.Queues, c.Figures.Schema = []string{"ai", "mail", "cache"}, 1 })
	want := func(list map[string]healthDetail, name, state string, parts ...string) {
		t.Helper()
		d, ok := list[name]
		if !ok || d.State != state {
			t.Errorf("%s: got %+v, want %s", name, d, state)
		}
		for _, part := range parts {
			if !strings.Contains(d.Detail, part) {
				t.Errorf("%s: %q lacks %q", name, d.Detail, part)
			}
		}
	}
	list := g.details(t)
	want(list, "database", "ok", "PostgreSQL")
	want(list, "connections", "ok")
	want(list, "outbox", "ok", "all facts are routed")
	want(list, "dead_events", "ok")
	want(list, "queue.ai", "degraded", "payaid worker --queue ai")
	want(list, "backup", "ok", "there is none")
	want(list, "schema", "ok", "newer program")
	want(list, "indexes", "ok")
	want(list, "mail", "unknown")
	want(list, "disk.backups", "degraded", "91.5 %")
	want(list, "disk.data", "unknown", "no such file")
	want(list, "memory", "ok", "cgroup_v2")
	want(list, "figures", "ok", "REDIS_URL")

	g.superExecute(t, `UPDATE outbox_epochs SET started_at = now() - interval '27 hours'`)
	want(g.details(t), "backup", "degraded", "there is none")
	g.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at, providers) VALUES ('a', 'h', 1, '{"ai":2,"mail":8}', 'x', now(),
		'[{"provider":"smtp","model":"mail.example.com","state":"open","last_class":"auth"},{"provider":"ollama","model":"m","state":"closed","last_class":""}]')`)
	g.execute(t, `INSERT INTO river_job (kind, args, max_attempts, queue, state, scheduled_at) VALUES ('k', '{}', 3, 'ai', 'available', now() - interval '1 hour')`)
	g.execute(t, `INSERT INTO river_queue (name, paused_at, updated_at) VALUES ('cache', now(), now())`)
	g.execute(t, `INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason) VALUES ('router', 1, 's', '{}', '', 'x')`)
	backup := func(name, snapshot, verified string) {
		t.Helper()
		g.execute(t, fmt.Sprintf(`INSERT INTO backups (id, name, state, host, manifest, started_at, snapshot_at, finished_at, bytes, verified_at, restore_seconds)
			VALUES (gen_random_uuid(), '%s', 'completed', 'h', '{}', now() - interval '%s', now() - interval '%s', now(), 1, %s, 2.5)`, name, snapshot, snapshot, verified))
	}
	backup("old", "27 hours", "now()")
	list = g.details(t)
	want(list, "queue.ai", "degraded", "1 process with 2 places", "the oldest for 1h0m")
	want(list, "queue.mail", "ok", "8 places")
	want(list, "queue.cache", "ok", "paused since")
	want(list, "dead_events", "degraded", "payaid events dead")
	want(list, "mail", "degraded", "smtp mail.example.com", "auth")
	want(list, "ai", "ok")
	want(list, "backup", "degraded", "27h0m0s old")
	want(list, "backup_verification", "ok", "took 2.5 s")
	backup("new", "1 hour", "NULL")
	list = g.details(t)
	want(list, "backup", "ok", "1h0m0s old")
	want(list, "backup_verification", "ok")
	g.execute(t, `INSERT INTO backups (id, name, state, host, error, started_at, finished_at) VALUES (gen_random_uuid(), 'bad', 'failed', 'h', '{"code":"disk_full"}', now(), now())`)
	want(g.details(t), "backup", "degraded", "disk_full")

	for _, key := range []string{"", func() string { _, k := g.organization(t); return k }()} {
		if r := g.call(t, key, "GET", "/api/system/health", "").want(200); strings.TrimSpace(string(r.body)) != `{"status":"ok"}` {
			t.Errorf("strangers are told %s", r.body)
		}
	}
}
