package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// maintained has the kinds that an operator starts.
func maintained(c *Config) {
	name := func(input json.RawMessage) []Fault {
		if strings.Contains(string(input), "bad") {
			return []Fault{{"/model", "is no name"}}
		}
		return nil
	}
	c.Kinds = append(c.Kinds, Kind{Name: "db.backup_verify", Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2},
		Kind{Name: "db.index_sample", Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2},
		Kind{Name: "ai.pull_model", Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2, Check: name})
}

func TestOperatorStartsWork(t *testing.T) {
	t.Parallel()
	g := newRig(t, maintained)
	_, name := g.backup(t, keptBackup{ago: time.Hour, state: "completed"})
	_, failed := g.backup(t, keptBackup{ago: 2 * time.Hour, state: "failed", problem: "disk_full"})
	for _, c := range []struct{ path, body, kind, input, action, target string }{
		{"backups", `{"verify":false}`, "db.backup", `{"verify": false}`, "backup.make", "new"},
		{"backups", ``, "db.backup", `{}`, "backup.make", "new"},
		{"backups/" + name + "/verify", ``, "db.backup_verify", `{"name": "` + name + `"}`, "backup.verify", name},
		{"indexes/sample", ``, "db.index_sample", `{}`, "index.sample", "indexes"},
		{"ai/models", `{"model":"mistral:7b"}`, "ai.pull_model", `{"model": "mistral:7b"}`, "model.pull", "mistral:7b"},
	} {
		var made operator.Submitted
		g.call(t, testAdminKey, "POST", "/api/admin/"+c.path, c.body).want(202).json(&made)
		j, err := g.system.Job(t.Context(), store.OperatorOrganization, made.JobID)
		if err != nil || j.Kind != c.kind || made.Kind != c.kind || j.Status != store.Queued || string(j.Input) != c.input {
			t.Errorf("%s: %+v with %s, %v", c.path, j.Kind, j.Input, err)
		}
		if len(g.facts(t, made.JobID)) != 1 {
			t.Errorf("%s: nobody was told", c.path)
		}
		note := g.audit(t, "?action="+c.action)[0]
		if note.Outcome != "done" || note.TargetID != c.target || !strings.Contains(string(note.After), made.JobID) {
			t.Errorf("%s: the audit log says %+v", c.path, note)
		}
	}
	before := g.count(t, `SELECT count(*) FROM jobs`)
	g.call(t, testAdminKey, "POST", "/api/admin/backups/"+failed+"/verify", "").problem(409, "invalid_transition")
	g.call(t, testAdminKey, "POST", "/api/admin/backups/payaid_20200101_000000/verify", "").problem(404, "not_found")
	g.call(t, testAdminKey, "POST", "/api/admin/backups/payaid_2020/verify", "").want(422)
	g.call(t, testAdminKey, "POST", "/api/admin/backups", `{"verify":1}`).problem(422, "validation_failed", "/verify")
	g.call(t, testAdminKey, "POST", "/api/admin/ai/models", `{"model":"bad"}`).problem(422, "validation_failed", "/model")
	_, watcher := g.readOnlyKey(t)
	for _, path := range []string{"backups", "backups/" + name + "/verify", "indexes/sample"} {
		g.call(t, watcher, "POST", "/api/admin/"+path, "").problem(403, "forbidden")
	}
	if now := g.count(t, `SELECT count(*) FROM jobs`); now != before {
		t.Errorf("what was refused made %d jobs", now-before)
	}
	if refused := g.audit(t, "?action=backup.verify&outcome=refused"); len(refused) != 2 {
		t.Errorf("refusals in the audit log: %+v", refused)
	}
}

func TestOperatorStartsNothingThatNobodyWorks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.call(t, testAdminKey, "POST", "/api/admin/indexes/sample", "").problem(422, "unknown_kind")
}

func TestStatusSaysWhatIsTheMatter(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	codes := func() (list []string) {
		g.pulse.mu.Lock()
		g.pulse.last = operator.Status{}
		g.pulse.mu.Unlock()
		var v operator.Status
		g.call(t, testAdminKey, "GET", "/api/admin/status", "").want(200).json(&v)
		for _, a := range v.Alerts {
			list = append(list, a.Severity+" "+a.Code)
			if a.Link == "" || a.Text == "" {
				t.Errorf("%+v leads nowhere", a)
			}
		}
		if v.Well != !slices.ContainsFunc(list, func(s string) bool { return !strings.HasPrefix(s, "info") }) {
			t.Errorf("well is %v with %v", v.Well, list)
		}
		return list
	}
	if got := codes(); !slices.Equal(got, []string{"critical no_workers", "warning no_backup"}) {
		t.Errorf("of a new installation: %v", got)
	}
	g.worker(t, "w1", `{"ai":2,"mail":1,"maintenance":1}`, store.ProviderState{Provider: "groq", Model: "m", State: "closed"})
	g.execute(t, `INSERT INTO river_leader (elected_at, expires_at, leader_id, name) VALUES (now(), now() + interval '1 hour', 'w1', 'default')`)
	g.backup(t, keptBackup{ago: time.Minute, state: "completed"})
	if got := codes(); got != nil {
		t.Errorf("all is well: %v", got)
	}
	g.execute(t, `INSERT INTO river_queue (name, created_at, metadata, paused_at, updated_at) VALUES ('mail', now(), '{}', now(), now())`)
	g.execute(t, `INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason) VALUES ('router', 1, 's', '{}', '', 'why')`)
	g.execute(t, `INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, data, created_at) VALUES (gen_random_uuid(), gen_random_uuid(), 'x', 'x', 1, '{}', now() - interval '5 minutes')`)
	g.backup(t, keptBackup{ago: time.Second, state: "failed", problem: "disk_full"})
	g.worker(t, "w2", `{"ai":2}`, store.ProviderState{Provider: "ollama", Model: "m", State: "open", LastClass: "timeout"}, store.ProviderState{Provider: "smtp", Model: "mx", State: "open"})
	g.ticks(t, "-30 hours", "-6 hours")
	org, _ := g.organization(t)
	g.recipientIs(t, org, g.mailed(t, org, nil, "a@example.in"), 1, "unknown")
	want := []string{"critical events_lag", "critical mail_server_away", "critical backup_failed", "critical backup_late",
		"warning dead_events", "warning model_away", "warning mail_unknown", "info queue_paused"}
	if got := codes(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	g.execute(t, `UPDATE schedules SET paused_at = now()`)
	if got := codes(); !slices.Contains(got, "warning backups_paused") || slices.Contains(got, "critical backup_late") {
		t.Errorf("with the schedule paused: %v", got)
	}
	if got := problemCodes(g.backups(t, "")); !slices.Contains(got, "schedule_paused") {
		t.Errorf("the problems are %v", got)
	}
	// What was found out a moment ago is said again, whoever asks.
	g.execute(t, `DELETE FROM dead_events`)
	var v operator.Status
	g.call(t, testAdminKey, "GET", "/api/admin/status", "").want(200).json(&v)
	if !slices.ContainsFunc(v.Alerts, func(a operator.Alert) bool { return a.Code == "dead_events" }) {
		t.Errorf("it was looked again at once: %+v", v)
	}
}
