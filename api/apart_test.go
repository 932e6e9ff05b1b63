package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// belongings makes one thing of each sort that a path may name, by the path before its id.
var belongings = map[string]func(g *rig, t testing.TB, key string) (id string){
	"/api/api-keys/": func(g *rig, t testing.TB, key string) string {
		var k newKeyView
		g.call(t, key, "POST", "/api/api-keys", `{"name":"hush","scopes":["read"]}`).want(201).json(&k)
		return k.ID
	},
	"/api/contacts/": func(g *rig, t testing.TB, key string) string {
		id := g.contact(t, key, `{"name":"hush"}`).ID
		g.insight(t, "contact", id, "ai.lead_score", `{"reason":"hush"}`)
		return id
	},
	"/api/deals/": func(g *rig, t testing.TB, key string) string {
		var d DealView
		g.call(t, key, "POST", "/api/deals", `{"title":"hush","value":9007199254740991,"contact_id":"`+g.contact(t, key, aContact).ID+`"}`).want(201).json(&d)
		g.insight(t, "deal", d.ID, "ai.deal_insight", `{"reason":"hush"}`)
		return d.ID
	},
	"/api/invoices/": func(g *rig, t testing.TB, key string) string {
		id := g.draft(t, key, g.contact(t, key, aContact).ID).ID
		g.insight(t, "invoice", id, "ai.invoice_reminder", `{"reason":"hush"}`)
		return id
	},
	"/api/mail/": func(g *rig, t testing.TB, key string) string {
		org := g.organizationOf(t, key)
		id := g.mailed(t, org, nil, "hush@example.in")
		g.recipientIs(t, org, id, 1, "unknown")
		return id
	},
	"/api/mail/suppressions/": func(g *rig, t testing.TB, key string) string {
		var v suppressionView
		g.call(t, key, "POST", "/api/mail/suppressions", `{"address":"`+outbox.NewID()+`@example.in","detail":"hush"}`).want(201).json(&v)
		return v.ID
	},
	"/api/mail/templates/": func(g *rig, t testing.TB, key string) string {
		// The name is an organization's once.
		var list page[MailTemplateView]
		if g.call(t, key, "GET", "/api/mail/templates?name=hush", "").want(200).json(&list); len(list.Data) > 0 {
			return list.Data[0].ID
		}
		return g.call(t, key, "POST", "/api/mail/templates", `{"name":"hush","subject":"hush","text":"hush"}`).want(201).mailTemplate().ID
	},
	"/api/webhooks/": func(g *rig, t testing.TB, key string) string {
		id := g.webhook(t, key, `,"description":"hush","headers":{"X-Hush":"hush"}`).ID
		g.delivered(t, g.organizationOf(t, key), id)
		return id
	},
	"/api/webhooks/callbacks/deliveries/": func(g *rig, t testing.TB, key string) string {
		return g.calledBack(t, g.organizationOf(t, key), outbox.NewID(), "https://example.com/hush")
	},
	"/api/jobs/": func(g *rig, t testing.TB, key string) string {
		return g.submit(t, key, `{"kind":"ai.completion","input":{"prompt":"hush"}}`).ID
	},
}

// parts makes one thing of each sort that a path may name below another one, by the path before its id.
var parts = map[string]func(g *rig, t testing.TB, key, of string) (id string){
	"/api/webhooks/{id}/deliveries/": func(g *rig, t testing.TB, key, of string) string {
		return g.delivered(t, g.organizationOf(t, key), of)
	},
}

// name puts the ids of what belongs to a key's holder into a path.
func (g *rig) name(t testing.TB, key, path string) string {
	t.Helper()
	sort, _, named := strings.Cut(path, "{id}")
	if !named {
		return path
	}
	makeOne := belongings[sort]
	if makeOne == nil {
		t.Fatalf("this test has no %s: add one to belongings", sort)
	}
	id := makeOne(g, t, key)
	if sort, _, below := strings.Cut(path, "{delivery_id}"); below {
		path = strings.Replace(path, "{delivery_id}", parts[sort](g, t, key, id), 1)
	}
	return strings.Replace(path, "{id}", id, 1)
}

// bodyOf is a body that a route takes.
func bodyOf(rt route) string {
	switch rt.body {
	case noBody:
		return ""
	case patchBody, bodyOrNone:
		return `{}`
	}
	return map[string]string{"POST /api/invoices/{id}/pay": `{"amount":1}`, "POST /api/mail/{id}/settle": `{"outcome":"accepted"}`,
		"POST /api/webhooks/{id}/replay": `{"since":"` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`}[rt.method+" "+rt.path]
}

// No organization sees or changes what belongs to another, by any route that names a thing.
func TestOrganizationsAreApart(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	_, other := g.organization(t)
	for _, rt := range g.routes() {
		if !strings.Contains(rt.path, "{id}") || rt.ofOperators() { // what the operator reads is about all of them
			continue
		}
		path := g.name(t, key, rt.path)
		for _, stranger := range []string{other, testAdminKey} {
			g.call(t, stranger, rt.method, path, bodyOf(rt)).problem(404, "not_found")
		}
		if rt.streams {
			continue // it would end with the job
		}
		// It was there all the time.
		if r := g.call(t, key, rt.method, path, bodyOf(rt)); r.status == 404 || r.status == 422 {
			t.Errorf("%s by its owner: %d %s", r.what, r.status, r.body)
		}
	}
}

// No list and no sum of an organization has anything of another, whatever is asked for.
func TestListsShowTheirOwn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	mine, key := g.organization(t)
	_, other := g.organization(t)
	secrets := []string{mine, "hush", "9007199254740991"}
	for _, makeOne := range belongings {
		secrets = append(secrets, makeOne(g, t, key))
	}
	g.execute(t, aCallOf(`9007199254740991, 1`), mine)
	shown := func(r *reply) (found []string) {
		for _, secret := range secrets {
			if strings.Contains(string(r.body), secret) {
				found = append(found, secret)
			}
		}
		return found
	}
	for _, rt := range g.routes() {
		// What only the operator reads is about all of them.
		if rt.method != "GET" || rt.scopes == 0 || rt.ofOperators() || strings.Contains(rt.path, "{") {
			continue
		}
		for _, path := range append([]string{rt.path}, queriesOf[rt.path]...) {
			if found := shown(g.call(t, other, "GET", path, "").want(200)); len(found) > 0 {
				t.Errorf("%s shows %v", path, found)
			}
			if len(shown(g.call(t, key, "GET", path, "").want(200))) == 0 {
				t.Errorf("%s shows its owner nothing, so this test proves nothing", path)
			}
		}
	}
}

// queriesOf has further ways to ask for a list.
var queriesOf = map[string][]string{
	"/api/ai/insights": {"/api/ai/insights?kind=ai.lead_score", "/api/ai/insights?kind=ai.deal_insight", "/api/ai/insights?limit=1"},
	"/api/ai/usage":    {"/api/ai/usage?group_by=model", "/api/ai/usage?group_by=kind", "/api/ai/usage?group_by=provider"},

	"/api/mail":              {"/api/mail?address=hush@example.in", "/api/mail?state=unknown"},
	"/api/mail/suppressions": {"/api/mail/suppressions?reason=manual"},
	"/api/mail/templates":    {"/api/mail/templates?name=hush"},

	"/api/deals":    {"/api/deals?include=contact", "/api/deals?q=hush", "/api/deals?q=us&stage=lead"},
	"/api/invoices": {"/api/invoices?include=contact", "/api/invoices?q=a&status=draft"},
	"/api/contacts": {"/api/contacts?q=hush", "/api/contacts?include=deals,invoices", "/api/contacts?q=h&status=active"},
}

func TestRoleSeesOneOrganization(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	mine, key := g.organization(t)
	theirs, _ := g.organization(t)
	job := g.submit(t, key, aCompletion)
	w := g.work(t, mine, job.ID)
	w.tell("token", `{"text":"secret"}`)
	g.insight(t, "contact", g.contact(t, key, aContact).ID, "ai.lead_score", `{}`)
	g.execute(t, aCallOf(`0, 1`), mine)
	mail := g.mailed(t, mine, nil, "a@example.in")
	g.execute(t, `INSERT INTO mail_events (organization_id, id, message_id, type) VALUES ($1, $2, $2, 'accepted')`, mine, mail)
	g.call(t, key, "POST", "/api/mail/suppressions", `{"address":"a@example.in"}`).want(201)
	belongings["/api/mail/templates/"](g, t, key)
	belongings["/api/webhooks/"](g, t, key)

	for _, table := range []string{"organizations", "api_keys", "jobs", "job_events", "idempotency_keys", "contacts", "ai_insights", "ai_calls",
		"mail_messages", "mail_recipients", "mail_events", "mail_suppressions", "mail_templates",
		"webhook_endpoints", "webhook_lanes", "webhook_events", "webhook_deliveries", "webhook_attempts"} {
		for _, chosen := range []string{"", theirs} {
			b := store.BatchAs(chosen)
			column := "organization_id"
			if table == "organizations" {
				column = "id"
			}
			b.Queue(`SELECT count(*) FROM ` + table + ` WHERE ` + column + ` = '` + mine + `'`).QueryRow(func(row pgx.Row) error {
				var n int
				err := row.Scan(&n)
				if n != 0 {
					t.Errorf("as %q: %d rows of another in %s", chosen, n, table)
				}
				return err
			})
			if err := g.DB.Send(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := g.DB.TxAs(t.Context(), theirs, func(tx pgx.Tx) error {
		tag, err := tx.Exec(t.Context(), `UPDATE jobs SET status = 'running'`)
		if tag.RowsAffected() != 0 {
			t.Errorf("%d jobs of another changed", tag.RowsAffected())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b := store.BatchAs(theirs)
	store.QueueJob(b, store.Job{OrganizationID: mine, ID: job.ID, Kind: "x", Queue: "x", Priority: 1, MaxAttempts: 1,
		Input: json.RawMessage("{}"), Metadata: json.RawMessage("{}"), EventID: job.ID, RunAt: time.Now(), CreatedAt: time.Now()})
	if err := g.DB.Send(context.Background(), b); err == nil {
		t.Error("a job was slipped to another organization")
	}
}

// ofOperators says that nobody but operators may use the route.
func (rt route) ofOperators() bool { return rt.scopes != public && rt.scopes&^(admin|adminRead) == 0 }
