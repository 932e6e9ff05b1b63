package admin

import (
	"net/http"
	"net/url"
	"testing"
)

// hostileWork has hostile names in all that these pages show.
func (g *rig) hostileWork() {
	g.t.Helper()
	name := hostile[:100]
	g.exec(`INSERT INTO river_queue (name, created_at, updated_at) VALUES ($1, now(), now()), ('mail', now(), now())`, name)
	g.exec(`INSERT INTO river_job (args, kind, max_attempts, queue, state, attempt, attempted_at, attempted_by) VALUES ('{}', $1, 3, 'mail', 'running', 1, now(), ARRAY[$1])`, name)
	g.exec(`INSERT INTO worker_processes (id, host, pid, queues, version, kinds) VALUES ($1, $1, 7, jsonb_build_object($1::text, 3, 'mail', 2), $1, ARRAY['x'])`, name)
	g.exec(`INSERT INTO schedules (name, kind, cron, next_run_at, last_run_at) VALUES ('cleanup', $1, $1, now() - interval '1 min', now())`, name)
	g.exec(`INSERT INTO queue_minutes (at, queue, samples, available, running, later, oldest_ms, workers, places, outcomes)
		SELECT date_trunc('minute', now()) - n * interval '1 min', 'mail', 6, n, 1, 2, 1000, 1, 8, '{"succeeded":3,"failed":1}' FROM generate_series(1, 9) n`)
}

func TestHostileWorkIsInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hostileWork()
	b, name := g.admin(), pathEscape(hostile[:100])
	for _, path := range []string{"/admin/queues", "/admin/queues/mail", "/admin/queues/mail?range=7d", "/admin/queues/" + name, "/admin/workers",
		"/admin/kinds", "/admin/kinds/" + name, "/admin/schedules"} {
		b.get(path).wants(http.StatusOK).inert()
	}
	b.get("/admin/queues/nothing").wants(http.StatusNotFound)
}

func TestQueuesArePausedByForms(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hostileWork()
	reader := g.readOnly()
	reader.get("/admin/queues").wants(http.StatusOK, "mail").lacks("Pause all")
	reader.get("/admin/schedules").wants(http.StatusOK, "cleanup").lacks("Run now")
	for _, path := range []string{"/admin/queues/mail/pause", "/admin/queues/all/pause", "/admin/schedules/cleanup/run", "/admin/schedules/cleanup/pause"} {
		reader.post(path, url.Values{}).wants(http.StatusForbidden)
	}
	b := g.admin()
	b.post("/admin/queues/mail/pause", url.Values{})
	b.get("/admin/queues/mail").wants(http.StatusOK, "Paused", "Resume")
	b.post("/admin/queues/mail/resume", url.Values{})
	b.get("/admin/queues/mail").wants(http.StatusOK).lacks("Paused")
	b.post("/admin/schedules/cleanup/pause", url.Values{})
	b.get("/admin/schedules").wants(http.StatusOK, "paused", "Resume")
	b.get("/admin/audit?action=queue.pause").wants(http.StatusOK, "queue.pause", "mail")
}
