package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/operator"
)

func withWork(c *Config) {
	c.Figures.Queues = []string{"ai", "mail"}
	c.Work = []WorkKind{
		{Name: "mail.send", Queue: "mail", Summary: "Sends.", Scope: "jobs", MaxAttempts: 5, Timeout: time.Minute},
		{Name: "cleanup", Queue: "maintenance", MaxAttempts: 3, Timeout: time.Hour, Cron: "25 * * * *"},
	}
	c.LeaderLocks = []LeaderLock{{Name: "relay", What: "Relays", Lock: 0x70617961_6964_7777}}
}

func (g *rig) living(t *testing.T, id, version, queues string, kinds any) {
	t.Helper()
	g.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, kinds) VALUES ($1, 'here', 7, $2::jsonb, $3, $4)`, id, queues, version, kinds)
}

func (g *rig) queue(t *testing.T, name string) operator.Queue {
	t.Helper()
	var list operator.QueueList
	g.call(t, testAdminKey, "GET", "/api/admin/queues", "").want(200).json(&list)
	for _, q := range list.Data {
		if q.Name == name {
			return q
		}
	}
	t.Fatalf("there is no queue %s in %+v", name, list.Data)
	return operator.Queue{}
}

// Of a queue that nobody samples what is in it is counted now; one that is sampled is shown as it was, with its age.
func TestQueuesShown(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	g.execute(t, `INSERT INTO river_job (args, kind, max_attempts, queue, state, scheduled_at, priority)
		SELECT '{}', 'mail.send', 3, 'mail', 'available', now() - n * interval '1 s', 1 FROM generate_series(1, 30) n`)
	q := g.queue(t, "mail")
	if q.Available != 30 || q.OldestMS == nil || *q.OldestMS < 30_000 || q.LastHour != nil || q.LastMinute != nil || q.AtLeast || q.PausedAt != nil {
		t.Errorf("got %+v", q)
	}
	if len(q.Trend) != 60 || q.Trend[30].Available != nil || q.Trend[30].Ended != nil {
		t.Errorf("what nobody measured is not empty: %d ticks", len(q.Trend))
	}
	if strings.Join(q.Kinds, " ") != "mail.send" {
		t.Errorf("kinds %v", q.Kinds)
	}
	g.execute(t, `INSERT INTO queue_states (queue, available, running, retryable, scheduled, workers, places, sampled_at)
		SELECT q, 1000000, 2, 3, 4, 5, 6, now() - interval '12 s' FROM unnest('{mail,ai,maintenance}'::text[]) q`)
	q = g.queue(t, "mail")
	if q.Available != 1_000_000 || !q.AtLeast || q.OldestMS != nil || q.Places != 6 || time.Since(q.CountedAt) < 10*time.Second {
		t.Errorf("of the sample got %+v", q)
	}
}

const times = `{"count":4,"sum_ns":4000000,"longest_ns":4000000,"classes":[1,1,1,1]}`

// A minute that nobody measured is a gap, one in which nothing happened is a zero, and percentiles are of all attempts
// of a step, not averages.
func TestQueueOverTime(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	g.execute(t, `INSERT INTO queue_minutes (at, queue, samples, available, running, later, oldest_ms, workers, places, outcomes, waits, runs)
		SELECT date_trunc('minute', now()) - n * interval '1 min', 'mail', 6, 10 * n, 1, 2, 1000 * n, 1, 8,
			CASE n WHEN 2 THEN '{}'::jsonb WHEN 5 THEN NULL ELSE '{"succeeded":6,"failed":2,"retried":1}' END,
			CASE WHEN n NOT IN (2, 5) THEN $1::jsonb END, CASE WHEN n NOT IN (2, 5) THEN $1::jsonb END
		FROM generate_series(2, 8) n WHERE n <> 4`, times)
	var d operator.QueueDetail
	g.call(t, testAdminKey, "GET", "/api/admin/queues/mail?range=1h", "").want(200).json(&d)
	if len(d.Points) != 60 || d.StepSeconds != 60 {
		t.Fatalf("%d points of %d s", len(d.Points), d.StepSeconds)
	}
	back := func(n int) operator.QueuePoint {
		at := d.GeneratedAt.Truncate(time.Minute).Add(-time.Duration(n) * time.Minute)
		for _, p := range d.Points {
			if p.At.Equal(at) {
				return p
			}
		}
		t.Fatalf("no point at %s", at)
		return operator.QueuePoint{}
	}
	if p := back(4); p.Available != nil || p.OldestMS != nil || p.Work != nil {
		t.Errorf("what nobody measured is %+v", p)
	}
	if p := back(2); p.Work == nil || p.Work.Ended() != 0 || *p.Available != 20 || p.Work.RunP50MS != nil || p.Work.FailureRate != nil {
		t.Errorf("a minute of nothing is %+v", p)
	}
	if p := back(5); p.Work != nil || p.Available == nil {
		t.Errorf("a minute that Redis was away in is %+v", p)
	}
	if p := back(3); p.Work == nil || p.Work.Succeeded != 6 || *p.Work.FailureRate != 0.25 || math.Abs(*p.Work.ErrorRate-1.0/3) > 0.001 || *p.Work.RunP50MS != 2 {
		t.Errorf("got %+v", p.Work)
	}
	h := d.LastHour
	if h == nil || h.Minutes != 5 || h.Succeeded != 24 || h.Failed != 8 || d.LastMinute == nil || d.LastMinute.Ended() != 0 {
		t.Errorf("of the hour got %+v, of the minute %+v", h, d.LastMinute)
	}
	var day operator.QueueDetail
	g.call(t, testAdminKey, "GET", "/api/admin/queues/mail?range=24h", "").want(200).json(&day)
	sum, most := int64(0), int64(0)
	for _, p := range day.Points {
		if p.Work != nil {
			sum += p.Work.Succeeded
		}
		if p.Available != nil {
			most = max(most, *p.Available)
		}
	}
	if len(day.Points) != 360 || sum != 24 || most != 80 {
		t.Errorf("of a day %d points, %d succeeded, %d at most", len(day.Points), sum, most)
	}
	for _, long := range []string{"7d", "30d", "90d"} {
		g.call(t, testAdminKey, "GET", "/api/admin/queues/mail?range="+long, "").want(200).json(&day)
		if len(day.Points) > 360 {
			t.Errorf("%s has %d points", long, len(day.Points))
		}
	}
	g.call(t, testAdminKey, "GET", "/api/admin/queues/mail?range=2h", "").want(422)
	g.call(t, testAdminKey, "GET", "/api/admin/queues/nothing", "").want(404)
}

// What pauses a queue is River's own row; who did it and what it was before is in the audit log, in the same commit.
func TestQueuesArePaused(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	_, watcher := g.readOnlyKey(t)
	g.execute(t, `INSERT INTO river_queue (name, created_at, updated_at) VALUES ('ai', now(), now()), ('mail', now(), now())`)
	post := func(path string, status int) (p operator.Pause) {
		t.Helper()
		a := g.call(t, testAdminKey, "POST", "/api/admin/queues/"+path, "").want(status)
		if status == 200 {
			a.json(&p)
		}
		return p
	}
	for _, path := range []string{"mail/pause", "mail/resume", "pause", "resume"} {
		g.call(t, watcher, "POST", "/api/admin/queues/"+path, "").want(403)
	}
	if q := g.queue(t, "mail"); q.PausedAt != nil {
		t.Fatal("a read-only key paused a queue")
	}
	if p := post("mail/pause", 200); fmt.Sprint(p.Queues) != "[mail]" || p.PausedAt == nil {
		t.Errorf("got %+v", p)
	}
	first := g.queue(t, "mail")
	if first.PausedAt == nil || first.PausedBy == nil || *first.PausedBy != "admin key of the configuration" {
		t.Errorf("got %+v", first)
	}
	if p := post("mail/pause", 200); len(p.Queues) != 0 {
		t.Errorf("it was paused twice: %+v", p)
	}
	if p := post("pause", 200); fmt.Sprint(p.Queues) != "[ai]" {
		t.Errorf("of all, got %+v", p)
	}
	if q := g.queue(t, "mail"); !q.PausedAt.Equal(*first.PausedAt) {
		t.Errorf("since when it is paused was forgotten: %s, want %s", q.PausedAt, first.PausedAt)
	}
	if p := post("ai/resume", 200); fmt.Sprint(p.Queues) != "[ai]" || p.PausedAt != nil || g.queue(t, "ai").PausedAt != nil {
		t.Errorf("got %+v", p)
	}
	if p := post("resume", 200); fmt.Sprint(p.Queues) != "[mail]" || p.PausedAt != nil {
		t.Errorf("got %+v", p)
	}
	if q := g.queue(t, "mail"); q.PausedAt != nil || q.PausedBy != nil {
		t.Errorf("after it was resumed: %+v", q)
	}
	post("nothing/pause", 404)
	log := g.audit(t, "?target=queue")
	var got []string
	for i := len(log) - 1; i >= 0; i-- {
		got = append(got, log[i].Action+" "+log[i].TargetID+" "+log[i].Outcome)
	}
	want := "queue.pause mail done, queue.pause mail done, queue.pause * done, queue.resume ai done, queue.resume * done, queue.pause nothing refused"
	if strings.Join(got, ", ") != want {
		t.Errorf("the audit log has %s\nwant %s", strings.Join(got, ", "), want)
	}
	var before, after map[string]struct {
		PausedAt *time.Time `json:"paused_at"`
	}
	entry := log[len(log)-1]
	if json.Unmarshal(entry.Before, &before) != nil || json.Unmarshal(entry.After, &after) != nil || before["mail"].PausedAt != nil || after["mail"].PausedAt == nil {
		t.Errorf("before %s, after %s", entry.Before, entry.After)
	}
}

func TestWorkersShown(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	g.living(t, "w1", "test", `{"mail":8}`, []string{"mail.send"})
	g.living(t, "w2", "older", `{"mail":4}`, nil)
	g.living(t, "dead", "test", `{"mail":4}`, nil)
	g.execute(t, `UPDATE worker_processes SET heartbeat_at = now() - interval '1 min' WHERE id = 'dead'`)
	g.execute(t, `INSERT INTO river_job (args, kind, max_attempts, queue, state, attempt, attempted_at, attempted_by)
		VALUES ('{"job_id":"0197aaaa-0000-7000-8000-00000000000a"}', 'mail.send', 3, 'mail', 'running', 2, now() - interval '5 s', '{w2,w1}')`)
	g.execute(t, `INSERT INTO river_leader (leader_id, elected_at, expires_at, name) VALUES ('w2', now(), now() + interval '10 s', 'default')`)
	conn, err := pgx.Connect(t.Context(), g.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	for _, sql := range []string{`SET application_name = 'payaid-relay/5/k7x2qaab'`, `SELECT pg_advisory_lock(x'7061796169647777'::bigint)`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var list operator.WorkerList
	g.call(t, testAdminKey, "GET", "/api/admin/workers", "").want(200).json(&list)
	if len(list.Hosts) != 1 || len(list.Hosts[0].Processes) != 2 || strings.Join(list.Versions, " ") != "older test" {
		t.Fatalf("got %+v", list)
	}
	one, two := list.Hosts[0].Processes[0], list.Hosts[0].Processes[1]
	if one.ID != "w1" || one.OtherVersion || len(one.Running) != 1 || one.Running[0].Kind != "mail.send" || one.Running[0].JobID == nil || one.Queues["mail"] != 8 {
		t.Errorf("got %+v", one)
	}
	if !two.OtherVersion || two.Kinds != nil || len(two.Running) != 0 || strings.Join(two.Leads, " ") != "river" {
		t.Errorf("got %+v", two)
	}
	for _, l := range list.Leaders {
		want := map[string]string{"river": "w2", "relay": "k7x2qaab"}[l.Name]
		if (l.Process == nil) != (want == "") || l.Process != nil && *l.Process != want {
			t.Errorf("%s is led by %v, want %q", l.Name, l.Process, want)
		}
	}
	if len(list.Leaders) != 3 {
		t.Errorf("leaders %+v", list.Leaders)
	}
}

// A kind is an orphan where jobs of it wait and no living worker knows it. One that nobody knows and nothing waits for
// is not.
func TestKindsShown(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	g.living(t, "w1", "test", `{"mail":8}`, []string{"mail.send"})
	g.execute(t, `INSERT INTO river_job (args, kind, max_attempts, queue, state, finalized_at) VALUES ('{}', 'old.kind', 3, 'mail', 'available', NULL),
		('{}', 'gone.kind', 3, 'mail', 'completed', now()), ('{}', 'mail.send', 3, 'mail', 'available', NULL)`)
	g.execute(t, `INSERT INTO queue_minutes (at, queue, outcomes) SELECT date_trunc('minute', now()) - n * interval '1 min', 'mail', '{"succeeded":1}' FROM generate_series(1, 10) n`)
	g.execute(t, `INSERT INTO kind_minutes (at, kind, queue, outcomes, runs) VALUES (date_trunc('minute', now()) - interval '2 min', 'mail.send', 'mail', '{"succeeded":3,"failed":1}', $1)`, times)
	g.execute(t, `INSERT INTO job_counts (status, kind, queue, n, exact, sampled_at) VALUES ('succeeded', 'mail.send', 'mail', 5000000, true, now()), ('failed', 'mail.send', 'mail', 7, true, now())`)
	kinds := func() map[string]operator.Kind {
		t.Helper()
		var list operator.KindList
		g.call(t, testAdminKey, "GET", "/api/admin/kinds", "").want(200).json(&list)
		byName := make(map[string]operator.Kind)
		for _, k := range list.Data {
			byName[k.Name] = k
		}
		return byName
	}
	all := kinds()
	if k := all["old.kind"]; !k.Orphan || k.Waiting != 1 || k.Queue != nil {
		t.Errorf("got %+v", k)
	}
	if k := all["gone.kind"]; k.Orphan || k.Name == "" {
		t.Errorf("got %+v", k)
	}
	k := all["mail.send"]
	if k.Orphan || k.Workers != 1 || *k.Queue != "mail" || *k.TimeoutMS != 60_000 || *k.Scope != "jobs" || *k.Kept != 5_000_007 {
		t.Errorf("got %+v", k)
	}
	if k.LastHour == nil || k.LastHour.Minutes != 10 || k.LastHour.Succeeded != 3 || *k.LastHour.FailureRate != 0.25 {
		t.Errorf("of the hour got %+v", k.LastHour)
	}
	if c := all["cleanup"]; c.LastHour != nil || c.CronWords == nil || *c.CronWords != "every hour at 25 minutes past" {
		t.Errorf("got %+v", c)
	}
	var d operator.KindDetail
	g.call(t, testAdminKey, "GET", "/api/admin/kinds/mail.send?range=1h", "").want(200).json(&d)
	gaps, zeros, ended := 0, 0, int64(0)
	for _, p := range d.Points {
		switch {
		case p.Work == nil:
			gaps++
		case p.Work.Ended() == 0:
			zeros++
		default:
			ended += p.Work.Ended()
		}
	}
	if ended != 4 || zeros != 9 || gaps != 50 || len(d.Ended) != 2 {
		t.Errorf("%d ended, %d minutes of nothing, %d gaps, counts %+v", ended, zeros, gaps, d.Ended)
	}
	g.call(t, testAdminKey, "GET", "/api/admin/kinds/nothing", "").want(404)
	g.execute(t, `DELETE FROM worker_processes`)
	if k := kinds()["mail.send"]; !k.Orphan || k.Waiting != 1 {
		t.Errorf("without workers got %+v", k)
	}
}

func TestSchedulesShown(t *testing.T) {
	t.Parallel()
	g := newRig(t, withWork)
	_, watcher := g.readOnlyKey(t)
	g.execute(t, `INSERT INTO schedules (name, kind, cron, next_run_at, last_run_at, last_job_id)
		VALUES ('cleanup', 'cleanup', '25 * * * *', now() - interval '1 min', now() - interval '61 min', 4711)`)
	g.execute(t, `INSERT INTO river_job (id, args, kind, max_attempts, queue, state, attempt, finalized_at) OVERRIDING SYSTEM VALUE
		VALUES (4711, '{}', 'cleanup', 3, 'maintenance', 'discarded', 3, now())`)
	read := func() operator.Schedule {
		t.Helper()
		var list operator.ScheduleList
		g.call(t, watcher, "GET", "/api/admin/schedules", "").want(200).json(&list)
		if len(list.Data) != 1 {
			t.Fatalf("got %+v", list)
		}
		return list.Data[0]
	}
	post := func(what string, status int) *reply {
		t.Helper()
		return g.call(t, testAdminKey, "POST", "/api/admin/schedules/"+what, "").want(status)
	}
	s := read()
	if s.LateMS == nil || *s.LateMS < 55_000 || s.LastRun == nil || s.LastRun.State != "failed" || *s.Words != "every hour at 25 minutes past" {
		t.Errorf("got %+v", s)
	}
	for _, what := range []string{"run", "pause", "resume"} {
		g.call(t, watcher, "POST", "/api/admin/schedules/cleanup/"+what, "").want(403)
	}
	post("nothing/run", 404)
	post("cleanup/run", 409) // no worker lives
	g.living(t, "w1", "test", `{"mail":8}`, []string{"mail.send"})
	post("cleanup/run", 409) // none knows it
	if s := read(); s.AskedAt != nil {
		t.Error("a run that was refused was asked for")
	}
	g.living(t, "w2", "test", `{"maintenance":2}`, []string{"cleanup"})
	post("cleanup/run", 200).json(&s)
	if s.AskedAt == nil || s.Workers != 1 {
		t.Errorf("got %+v", s)
	}
	post("cleanup/pause", 200).json(&s)
	if s.PausedAt == nil || s.NextRunAt != nil || s.LateMS != nil || s.PausedBy != nil && *s.PausedBy == "" {
		t.Errorf("got %+v", s)
	}
	if s := read(); s.PausedBy == nil {
		t.Errorf("nobody paused it: %+v", s)
	}
	post("cleanup/resume", 200).json(&s)
	if s.PausedAt != nil || s.NextRunAt == nil || !s.NextRunAt.After(time.Now()) || s.NextRunAt.Minute() != 25 {
		t.Errorf("got %+v", s)
	}
	done := 0
	for _, e := range g.audit(t, "?target=schedule&target_id=cleanup") {
		if e.Outcome == "done" && len(e.Before) > 4 && len(e.After) > 4 {
			done++
		}
	}
	if done != 3 {
		t.Errorf("%d acts are in the audit log with before and after, want 3", done)
	}
}

func TestCronWords(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{
		"0 2 * * *": "every day at 02:00 UTC", "25 * * * *": "every hour at 25 minutes past", "*/5 * * * *": "every 5 minutes",
		"10 */12 * * *": "every 12 hours at 10 minutes past", "0 9 * * 1": "at 09:00 UTC on Mondays", "30 1 1 * *": "at 01:30 UTC on day 1 of each month",
		"@daily": "every day at 00:00 UTC", "@every 90s": "every 90s", "* * * * *": "every minute", "0 9 * * 1-5": "at 09:00 UTC on weekdays",
		"1,2 * * * *": "", "0 0 1 6 *": "", "nonsense": "", "": "", "0 0 1 * 1": "",
	} {
		got := ""
		if w := cronWords(cron); w != nil {
			got = *w
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", cron, got, want)
		}
	}
}
