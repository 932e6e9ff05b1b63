package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/net/html"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// maintained has the kinds that these pages start.
func maintained(c *api.Config) {
	for _, kind := range []string{"db.backup", "db.backup_verify", "db.index_sample", "ai.pull_model"} {
		c.Kinds = append(c.Kinds, api.Kind{Name: kind, Queue: "maintenance", Scope: "admin", Share: 10, MaxAttempts: 2})
	}
}

// hostileHTML is what a mail may say.
const hostileHTML = `<script>alert(1)</script><img src="https://evil.example/x.png" onerror="alert(2)"><form action="https://evil.example"><b>Hello</b></form>` + hostile

// hostileMail makes a hostile mail of an organization with a hostile name.
func (g *rig) hostileMail() (org, id string) {
	g.t.Helper()
	org, id = uuid.NewString(), uuid.Must(uuid.NewV7()).String()
	g.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, $2, 'KA')`, org, hostile)
	g.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, event_id, run_at)
		VALUES ($1, $2, 'mail.send', 'mail', 'queued', 3, '{}', gen_random_uuid(), now())`, org, id)
	g.exec(`INSERT INTO mail_messages (organization_id, id, stream, state, subject, template) VALUES ($1, $2, 'news', 'unknown', $3, 'x')`, org, id, hostile)
	g.exec(`INSERT INTO mail_recipients (organization_id, message_id, position, field, address, name, state, attempts, unknown_at, reply, queue_id, status)
		VALUES ($1, $2, 1, 'to', $3, $3, 'unknown', 1, now(), $3, $3, $3)`, org, id, hostile+"@example.in")
	g.exec(`INSERT INTO mail_events (organization_id, id, message_id, position, type, detail) VALUES ($1, gen_random_uuid(), $2, 1, 'unknown', $3)`,
		org, id, `{"reason":`+quoted(hostile)+`,"reply":`+quoted(hostile)+`}`)
	g.exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason, detail) VALUES ($1, gen_random_uuid(), lower($2), 'news', 'manual', $2)`, org, hostile)
	return org, id
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func (g *rig) exec(sql string, args ...any) {
	g.t.Helper()
	if _, err := g.system.Pool().Exec(g.t.Context(), sql, args...); err != nil {
		g.t.Fatal(err)
	}
}

// own runs a statement as who owns the database.
func (g *rig) own(sql string) {
	g.t.Helper()
	conn, err := pgx.Connect(g.t.Context(), g.system.Pool().Config().ConnString())
	if err == nil {
		_, err = conn.Exec(g.t.Context(), sql)
		_ = conn.Close(g.t.Context())
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// writes has mails say something hostile.
func writes(c *api.Config) {
	c.WriteMail = func(context.Context, string, json.RawMessage) (api.WrittenMail, error) {
		return api.WrittenMail{Subject: hostile, Text: hostile, HTML: hostileHTML, ReplyTo: hostile}, nil
	}
}

func TestHostileMailIsInert(t *testing.T) {
	t.Parallel()
	g := newRig(t, writes)
	_, id := g.hostileMail()
	b := g.admin()
	b.get("/admin/mail").wants(http.StatusOK, "news").inert()
	b.get("/admin/mail/suppressions").wants(http.StatusOK).inert()
	hidden := b.get("/admin/mail/"+id).wants(http.StatusOK, "Show content", "It has it").inert()
	if strings.Contains(hidden.body, "Hello") || strings.Contains(hidden.text(), "Subject") {
		t.Error("what is hidden is shown")
	}
	page := b.post("/admin/mail/"+id+"/reveal", url.Values{}).wants(http.StatusOK, "Hello", "Subject").inert()
	if got := page.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-src 'self'") || !strings.Contains(got, "default-src 'none'") {
		t.Errorf("the page's policy is %q", got)
	}
	frames := page.find("iframe")
	if len(frames) != 1 || attribute(frames[0], "sandbox") != "" || !has(frames[0], "sandbox") || attribute(frames[0], "src") != "/admin/mail/html/"+id || has(frames[0], "srcdoc") {
		t.Fatalf("the frames are %v", frames)
	}
	frame := b.get("/admin/mail/html/" + id)
	policy := frame.header.Get("Content-Security-Policy")
	if frame.status != 200 || frame.body != hostileHTML || !strings.HasPrefix(frame.header.Get("Content-Type"), "text/html") {
		t.Errorf("the frame is %d %q", frame.status, frame.body)
	}
	for _, part := range []string{"default-src 'none'", "img-src data:", "form-action 'none'", "frame-ancestors 'self'", "; sandbox"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the frame's policy %q lacks %s", policy, part)
		}
	}
	if strings.Contains(policy, "script-src") || strings.Contains(policy, "allow-") {
		t.Errorf("the frame's policy lets scripts run: %q", policy)
	}
	b.get("/admin/audit?action=mail.reveal").wants(http.StatusOK, "mail.reveal")
}

func TestReadOnlyOperatorsActOnNoMail(t *testing.T) {
	t.Parallel()
	g := newRig(t, writes, maintained)
	org, id := g.hostileMail()
	b := g.readOnly()
	b.get("/admin/mail/"+id).wants(http.StatusOK).lacks("Show content", "It has it")
	b.get("/admin/backups").wants(http.StatusOK).lacks("Back up now")
	b.get("/admin/indexes").wants(http.StatusOK).lacks("Sample now")
	b.get("/admin/ai").wants(http.StatusOK).lacks("Pull a model")
	for path, form := range map[string]url.Values{
		"/admin/mail/" + id + "/reveal": {}, "/admin/mail/" + id + "/settle": {"outcome": {"failed"}},
		"/admin/mail/suppressions": {"organization_id": {org}, "address": {"a@example.in"}},
		"/admin/backups":           {}, "/admin/indexes/sample": {}, "/admin/ai/models": {"model": {"mistral:7b"}},
	} {
		b.post(path, form).wants(http.StatusForbidden)
	}
	if page := b.get("/admin/mail/html/" + id); page.status != http.StatusForbidden || strings.Contains(page.body, "Hello") {
		t.Errorf("who may not reveal got %d %q", page.status, page.body)
	}
	var jobs int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM jobs WHERE kind <> 'mail.send'`).Scan(&jobs); err != nil || jobs != 0 {
		t.Errorf("%d jobs were made, %v", jobs, err)
	}
}

func TestMailIsSettledFromItsPage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, id := g.hostileMail()
	b := g.admin()
	b.post("/admin/mail/"+id+"/settle", url.Values{"outcome": {"accepted"}}).wants(http.StatusOK, "It is settled", "accepted").lacks("It has it")
	b.get("/admin/audit?action=mail.settle").wants(http.StatusOK, "unknown", "accepted")
	b.post("/admin/mail/"+id+"/settle", url.Values{"outcome": {"accepted"}}).wants(http.StatusConflict)
}

func TestSuppressionsAreChanged(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.hostileMail()
	b := g.admin()
	b.post("/admin/mail/suppressions", url.Values{"organization_id": {org}, "address": {"Asha@example.in"}, "stream": {"*"}, "detail": {"by phone"}}).
		wants(http.StatusOK, "Nothing is sent to asha@example.in any more", "by phone")
	b.post("/admin/mail/suppressions", url.Values{"organization_id": {org}, "address": {"nobody"}, "stream": {"*"}}).wants(http.StatusUnprocessableEntity, "/address")
	page := b.get("/admin/mail/suppressions?recipient=asha@example.in").wants(http.StatusOK, "asha@example.in")
	var action string
	for _, form := range page.find("form") {
		if strings.HasSuffix(attribute(form, "action"), "/remove") {
			action = attribute(form, "action")
		}
	}
	b.post(action, url.Values{"back": {"/admin/mail/suppressions?recipient=asha@example.in"}}).wants(http.StatusOK, "No entry matches")
	b.get("/admin/audit?action=suppression.remove").wants(http.StatusOK, "manual", "suppression.remove")
}

func TestTemplatesAreShown(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.readOnly()
	b.get("/admin/mail/templates").wants(http.StatusOK, "invoice")
	one := b.get("/admin/mail/templates/invoice").wants(http.StatusOK, "Example data", "Source")
	if len(one.find("iframe")) != 1 {
		t.Error("it isn't shown as it looks")
	}
	if frame := b.get("/admin/mail/templates/invoice/html"); frame.status != 200 || !strings.Contains(frame.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the frame is %d %v", frame.status, frame.header)
	}
	b.get("/admin/mail/templates/none").wants(http.StatusNotFound)
	b.get("/admin/mail/sink").wants(http.StatusOK, "Mail is not caught here")
}

// caught is a sink with one hostile mail.
type caught string

func (c caught) Messages() []api.SinkMessage {
	return []api.SinkMessage{{ID: string(c), ReceivedAt: time.Now(), From: hostile, To: []string{hostile}, Size: 7, Subject: hostile}}
}

func (c caught) Content(string) ([]byte, error) {
	return []byte("Subject: " + strings.ReplaceAll(hostile, "\n", " ") + "\r\nX-\"><script>: x\r\nContent-Type: text/html\r\n\r\n" + hostileHTML), nil
}

func TestHostileCaughtMailIsInert(t *testing.T) {
	t.Parallel()
	id := uuid.Must(uuid.NewV7()).String()
	g := newRig(t, func(c *api.Config) { c.Sink = caught(id) })
	b := g.admin()
	b.get("/admin/mail/sink").wants(http.StatusOK).inert()
	b.get("/admin/mail/sink/"+id).wants(http.StatusOK, "hidden").lacks("Hello")
	b.post("/admin/mail/sink/"+id+"/reveal", url.Values{}).wants(http.StatusOK, "Hello").inert()
	if frame := b.get("/admin/mail/sink/" + id + "/html"); frame.body != hostileHTML || !strings.Contains(frame.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the frame is %q", frame.body)
	}
	g.readOnly().post("/admin/mail/sink/"+id+"/reveal", url.Values{}).wants(http.StatusForbidden)
}

func TestHostileModelsAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, _ := g.hostileMail()
	g.exec(`UPDATE organizations SET settings = '{"ai":{"monthly_budget":1000}}' WHERE id = $1`, org)
	g.exec(`INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, detail, fallback_reason, run_ms, started_at)
		VALUES ($1, $2, gen_random_uuid(), 1, $3, $3, $3, $3, $3, $3, 5, now())`, org, uuid.Must(uuid.NewV7()).String(), hostile)
	g.exec(`INSERT INTO worker_processes (id, host, pid, queues, version) VALUES ($1, $1, 1, '{}', 'x')`, hostile)
	if _, err := store.BeatWorker(t.Context(), g.system.Pool(), hostile, []store.ProviderState{{Provider: hostile, Model: hostile, State: "open", LastClass: hostile}}); err != nil {
		t.Fatal(err)
	}
	b := g.readOnly()
	b.get("/admin/ai").wants(http.StatusOK, "₹10.00", "0 %").inert()
	b.get("/admin/ai?step=hour").wants(http.StatusOK).inert()
	b.get("/admin/ai/calls?outcome="+url.QueryEscape(hostile)).wants(http.StatusOK, "attempt 1").inert()
	b.get("/admin/ai/calls?job=x").wants(http.StatusUnprocessableEntity, "/query/job")
}

func TestWorkIsStartedFromPages(t *testing.T) {
	t.Parallel()
	g := newRig(t, maintained)
	b := g.admin()
	for path, form := range map[string]url.Values{"/admin/backups": {}, "/admin/indexes/sample": {}, "/admin/ai/models": {"model": {"mistral:7b"}}} {
		page := b.post(path, form)
		if !strings.HasPrefix(page.url.Path, "/admin/jobs/") {
			t.Errorf("%s leads to %s", path, page.url)
		}
	}
	var kinds string
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT string_agg(kind, ' ' ORDER BY kind) FROM jobs`).Scan(&kinds); err != nil || kinds != "ai.pull_model db.backup db.index_sample" {
		t.Errorf("the jobs are %q, %v", kinds, err)
	}
}

func TestVerdictOfBackups(t *testing.T) {
	t.Parallel()
	now := time.Now()
	problem := []operator.BackupProblem{{Code: "late"}}
	for want, b := range map[string]operator.Backups{
		"bad: there is no backup": {}, "bad: no backup was restored": {LastSuccessAt: &now},
		"warn: something needs you": {LastSuccessAt: &now, LastVerifiedAt: &now, Problems: problem},
		"good: The data is safe":    {LastSuccessAt: &now, LastVerifiedAt: &now},
	} {
		tone, text, _ := strings.Cut(want, ": ")
		if got := verdictOf(b); got.Tone != tone || !strings.Contains(got.Title, text) {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
}

func TestBackupsPageSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.admin()
	b.get("/admin/backups").wants(http.StatusOK, "The data is not safe: there is no backup")
	g.exec(`INSERT INTO backups (id, name, state, host, places, error, started_at, finished_at) VALUES (gen_random_uuid(), 'payaid_20260101_020000', 'failed', $1, '{}',
		$2, now(), now())`, hostile, `{"code":"disk_full","detail":`+quoted(hostile)+`,"remedy":`+quoted(hostile)+`}`)
	for i, name := range []string{"payaid_20260102_020000", "payaid_20260103_020000"} {
		g.exec(`INSERT INTO backups (id, name, state, host, places, manifest, started_at, snapshot_at, finished_at, bytes, verification, verified_at, restore_seconds)
			VALUES (gen_random_uuid(), $1, 'completed', 'one', '{folder}', '{"tables":[],"recipients":[]}', now(), now() - $3::int * interval '1 minute', now(), 1000, $2, now(), 12.5)`,
			name, `{"state":"passed","finished_at":"2026-01-03T02:10:00Z","restore_seconds":12.5}`, 5-i)
	}
	page := b.get("/admin/backups").wants(http.StatusOK, "payaid_20260103_020000", "12.5 s", "verified", "Size of backups", "Time to restore", "plain").inert()
	if strings.Contains(page.text(), "The data is not safe") {
		t.Error("two verified backups are not enough")
	}
}

func TestIndexesPage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.readOnly()
	g.own(`CREATE TABLE "<script>boom()</script>" (a int)`)
	g.own(`CREATE INDEX "onerror=boom()" ON "<script>boom()</script>" (a)`)
	g.own(`CREATE INDEX """><img src=x>boom()" ON "<script>boom()</script>" (a)`)
	b.get("/admin/indexes?kept=show").wants(http.StatusOK, "idx_contacts_org_id", "contacts", "duplicate", "DROP INDEX").inert()
	b.get("/admin/indexes?q=idx_contacts_org_status&sort=size").wants(http.StatusOK, "idx_contacts_org_status").lacks("idx_deals_org_stage")
	b.get("/admin/indexes?q="+url.QueryEscape(hostile)).wants(http.StatusOK, "No index matches")
	b.get("/admin/indexes?index=public.idx_contacts_org_id").wants(http.StatusOK, "contacts", "Facts")
	b.get("/admin/indexes?index="+url.QueryEscape("onerror=boom()")).wants(http.StatusOK, "Facts").inert()
	b.get("/admin/indexes?index=none").wants(http.StatusNotFound)
	b.get("/admin/indexes?days=400").wants(http.StatusUnprocessableEntity, "/query/days")
}

func TestAlertsStandOnEveryPage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.exec(`INSERT INTO river_queue (name, created_at, metadata, paused_at, updated_at) VALUES ($1, now(), '{}', now(), now())`, "mail")
	b := g.readOnly()
	for _, path := range []string{"/admin/ai", "/admin/audit", "/admin/backups"} {
		page := b.get(path).wants(http.StatusOK, "the queue mail is paused", "there is no backup")
		links := 0
		for _, a := range page.find("a") {
			if attribute(a, "href") == "/admin/queues" && strings.Contains(textOf(a), "paused") {
				links++
			}
		}
		if links != 1 {
			t.Errorf("%s: the alert leads nowhere", path)
		}
	}
}

// find gives the elements of a name.
func (p *shown) find(name string) (list []*html.Node) {
	root, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		p.t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			list = append(list, n)
		}
	}
	return list
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
