package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
)

// insight saves what a worker found out about a contact, deal or invoice; again, what it found out since.
func (g *rig) insight(t testing.TB, subject, id, kind, output string) (insightID string) {
	t.Helper()
	err := g.system.Pool().QueryRow(t.Context(), `
		INSERT INTO ai_insights AS old (organization_id, id, kind, `+subject+`_id, job_id, output, provider, model, template, facts_at)
		SELECT organization_id, $2, $3, id, $2, $4, 'ollama', 'mistral:7b', 'x.v1', now() FROM `+subject+`s WHERE id = $1
		ON CONFLICT (organization_id, kind, contact_id, deal_id, invoice_id)
		DO UPDATE SET output = excluded.output, version = old.version + 1, updated_at = now() RETURNING id::text`,
		id, outbox.NewID(), kind, output).Scan(&insightID)
	if err != nil {
		t.Fatal(err)
	}
	return insightID
}

// briefing saves what a worker found out about a whole organization.
func (g *rig) briefing(t testing.TB, org, output string) (id string) {
	t.Helper()
	id = outbox.NewID()
	g.execute(t, `INSERT INTO ai_insights (organization_id, id, kind, job_id, output, provider, model, template, facts_at)
		VALUES ($1, $2, 'ai.daily_briefing', $2, $3, 'rules', 'rules', 'daily_briefing.v1', now())`, org, id, output)
	return id
}

func idsOf(insights []insightView) (ids []string) {
	for _, n := range insights {
		ids = append(ids, n.ID)
	}
	return ids
}

// things makes a contact, a deal with it and a draft for it, by their path.
func (g *rig) things(t testing.TB, key string) (contact, deal, draft string) {
	t.Helper()
	contact = g.contact(t, key, aContact).ID
	var d dealDetail
	g.call(t, key, "POST", "/api/deals", `{"contact_id":"`+contact+`","title":"x","value":1}`).want(201).json(&d)
	return contact, d.ID, g.draft(t, key, contact).ID
}

func TestInsightsAreListed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact, deal, draft := g.things(t, key)
	score := g.insight(t, "contact", contact, "ai.lead_score", `{"score":1}`)
	summary := g.insight(t, "contact", contact, "ai.contact_summary", `{"summary":"x"}`)
	look := g.insight(t, "deal", deal, "ai.deal_insight", `{}`)
	reminder := g.insight(t, "invoice", draft, "ai.invoice_reminder", `{}`)
	briefing := g.briefing(t, org, `{"bullets":["x"]}`)
	g.insight(t, "contact", contact, "ai.lead_score", `{"score":72,"reason":"<b>₹5 lakh</b>"}`)

	reader := g.key(t, key, "read")
	for query, want := range map[string][]string{
		"":                                             {briefing, reminder, look, summary, score},
		"kind=ai.lead_score":                           {score},
		"kind=ai.daily_briefing":                       {briefing},
		"kind=ai.nothing":                              nil,
		"contact_id=" + contact:                        {summary, score},
		"contact_id=" + strings.ToUpper(contact):       {summary, score},
		"deal_id=" + deal:                              {look},
		"invoice_id=" + draft:                          {reminder},
		"invoice_id=" + deal:                           nil,
		"kind=ai.lead_score&contact_id=" + contact:     {score},
		"kind=ai.deal_insight&contact_id=" + contact:   nil,
		"kind=ai.invoice_reminder&invoice_id=" + draft: {reminder},
	} {
		var p page[insightView]
		g.call(t, reader, "GET", "/api/ai/insights?"+query, "").want(200).json(&p)
		if got := idsOf(p.Data); !slices.Equal(got, want) || p.HasMore {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
		var walked []string
		for cursor := ""; ; cursor = "&cursor=" + *p.NextCursor {
			g.call(t, reader, "GET", "/api/ai/insights?limit=1&"+query+cursor, "").want(200).json(&p)
			if walked = append(walked, idsOf(p.Data)...); !p.HasMore {
				break
			}
		}
		if !slices.Equal(walked, want) {
			t.Errorf("%s, one by one: got %v, want %v", query, walked, want)
		}
	}
	var p page[insightView]
	g.call(t, key, "GET", "/api/ai/insights?kind=ai.lead_score", "").want(200).json(&p)
	got := p.Data[0]
	if got.Subject != (subjectView{"contact", contact}) || got.Version != 2 || got.Provider != "ollama" || got.Model != "mistral:7b" ||
		got.Template != "x.v1" || got.JobID == "" || got.FactsAt.IsZero() || got.UpdatedAt.Before(got.CreatedAt) {
		t.Errorf("got %+v", got)
	}
	var output struct {
		Score  int
		Reason string
	}
	if err := json.Unmarshal(got.Output, &output); err != nil || output.Score != 72 || output.Reason != "<b>₹5 lakh</b>" {
		t.Errorf("the output is %s, %v", got.Output, err)
	}
	g.call(t, key, "GET", "/api/ai/insights?kind=ai.daily_briefing", "").want(200).json(&p)
	if got := p.Data[0].Subject; got != (subjectView{"organization", org}) {
		t.Errorf("the briefing is about %+v", got)
	}
}

func TestInsightQueries(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	contact, deal, draft := g.things(t, key)
	g.insight(t, "contact", contact, "ai.lead_score", `{}`)
	g.insight(t, "contact", contact, "ai.contact_summary", `{}`)
	for query, pointers := range map[string]string{
		"kind=AI%20score": "/query/kind", "kind=" + strings.Repeat("x", 128): "/query/kind", "contact_id=x": "/query/contact_id",
		"deal_id=" + deal + "0": "/query/deal_id", "invoice_id=%7B" + draft[:34] + "%7D": "/query/invoice_id", "limit=0": "/query/limit",
		"limit=201": "/query/limit", "contact_id=" + contact + "&deal_id=" + deal: "/query/deal_id",
		"contact_id=" + contact + "&deal_id=" + deal + "&invoice_id=" + draft: "/query/deal_id /query/invoice_id", "q=x": "/query/q",
	} {
		g.call(t, key, "GET", "/api/ai/insights?"+query, "").problem(422, "validation_failed", strings.Fields(pointers)...)
	}
	var p page[insightView]
	g.call(t, key, "GET", "/api/ai/insights?limit=1", "").want(200).json(&p)
	for _, query := range []string{"cursor=x", "cursor=" + *p.NextCursor + "&kind=ai.lead_score", "cursor=" + *p.NextCursor + "&contact_id=" + contact} {
		g.call(t, key, "GET", "/api/ai/insights?"+query, "").problem(400, "invalid_cursor")
	}
	g.call(t, g.key(t, key, "write jobs"), "GET", "/api/ai/insights", "").problem(403, "forbidden")
	g.call(t, "", "GET", "/api/ai/insights", "").problem(401, "unauthorized")
}

// The detail of a thing shows what was found out about it. A client that has the detail from before reads the new
// one, and may still change the thing, as that is what it was.
func TestDetailsShowInsights(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	contact, deal, draft := g.things(t, key)
	for _, c := range []struct{ subject, id, change string }{
		{"contact", contact, `{"city":"Pune %d"}`}, {"deal", deal, `{"title":"Shop %d"}`}, {"invoice", draft, `{"notes":"%d"}`},
	} {
		path, changes := "/api/"+c.subject+"s/"+c.id, 0
		read := func(seen string, status int) (tag string, shown []insightView) {
			t.Helper()
			r := g.call(t, key, "GET", path, "", "If-None-Match", seen).want(status)
			if status == 200 {
				shown = insightsIn(r)
			}
			return r.header.Get("ETag"), shown
		}
		change := func(ifMatch string, status int) *reply {
			t.Helper()
			changes++
			return g.call(t, key, "PATCH", path, fmt.Sprintf(c.change, changes), "If-Match", ifMatch).want(status)
		}
		before, shown := read("", 200)
		if shown == nil || len(shown) > 0 {
			t.Errorf("%s: insights before there are any: %v", path, shown)
		}
		first := g.insight(t, c.subject, c.id, "ai.one", `{"n":1}`)
		one, shown := read(before, 200)
		if got := idsOf(shown); !slices.Equal(got, []string{first}) {
			t.Errorf("%s: shows %v, want %s", path, got, first)
		}
		read(one, 304)
		second := g.insight(t, c.subject, c.id, "ai.two", `{"n":1}`)
		two, _ := read(one, 200)
		g.insight(t, c.subject, c.id, "ai.one", `{"n":2}`)
		three, shown := read(two, 200)
		if got := idsOf(shown); !slices.Equal(got, []string{first, second}) || string(shown[0].Output) != `{"n":2}` {
			t.Errorf("%s: shows %v, want the latest first: %s, %s", path, shown, first, second)
		}
		read(three, 304)

		// Whichever of these a client has read, it knows the thing in its first version.
		r := change(before, 200)
		tag, shown := read("", 200)
		if got := idsOf(insightsIn(r)); r.header.Get("ETag") != tag || !slices.Equal(got, idsOf(shown)) {
			t.Errorf("%s: the change answers %s with %v, the detail %s", path, r.header.Get("ETag"), got, tag)
		}
		read(tag, 304)
		for _, old := range []string{before, one, two, three, `"1"`} {
			change(old, 412)
			read(old, 200)
		}
		g.insight(t, c.subject, c.id, "ai.two", `{"n":2}`)
		change(tag, 200)
		change(`"3"`, 200)
		change(`W/`+three, 412)
	}
}

func insightsIn(r *reply) []insightView {
	var detail struct{ Insights []insightView }
	r.json(&detail)
	return detail.Insights
}

// An action of an invoice answers with the ETag that the detail has then.
func TestActionsShowInsights(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.draft(t, key, g.buyer(t, org, nil, nil)).ID
	insight := g.insight(t, "invoice", id, "ai.invoice_reminder", `{}`)
	tag := g.call(t, key, "GET", "/api/invoices/"+id, "").want(200).header.Get("ETag")
	for _, act := range [][2]string{{"send", ""}, {"pay", `{"amount":1}`}} {
		g.insight(t, "invoice", id, "ai.invoice_reminder", `{}`) // the client's ETag is of the one before
		r := g.act(t, key, id, act[0], act[1], "If-Match", tag).want(200)
		read := g.call(t, key, "GET", "/api/invoices/"+id, "").want(200)
		if tag = r.header.Get("ETag"); tag != read.header.Get("ETag") || string(r.body) != string(read.body) || insightsIn(r)[0].ID != insight {
			t.Errorf("%s answers %s %s\nand the detail is %s %s", act[0], tag, r.body, read.header.Get("ETag"), read.body)
		}
	}
}

// What is deleted takes along what was found out about it, though requests may not delete insights.
func TestDeletedThingsTakeTheirInsights(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, other := g.organization(t)
	contact, deal, draft := g.things(t, key)
	lonely, theirs := g.contact(t, key, aContact).ID, g.contact(t, other, aContact).ID
	for subject, id := range map[string]string{"deal": deal, "invoice": draft} {
		g.insight(t, subject, id, "ai.x", `{}`)
	}
	for _, id := range []string{contact, lonely, theirs} {
		g.insight(t, "contact", id, "ai.x", `{}`)
	}
	kept := g.briefing(t, org, `{}`)
	err := g.DB.TxAs(t.Context(), org, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM ai_insights`)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a request deletes insights with %v", err)
	}
	for _, path := range []string{"/api/contacts/" + lonely, "/api/deals/" + deal, "/api/invoices/" + draft} {
		g.call(t, key, "DELETE", path, "").want(204)
	}
	var p page[insightView]
	g.call(t, key, "GET", "/api/ai/insights", "").want(200).json(&p)
	if len(p.Data) != 2 || p.Data[0].ID != kept || p.Data[1].Subject.ID != contact {
		t.Errorf("left are %+v, want the briefing and what is about the contact that is left", p.Data)
	}
	if n := g.count(t, `SELECT count(*) FROM ai_insights`); n != 3 {
		t.Errorf("%d insights are left in the table, want 3", n)
	}
}

// What a model wrote is a text among others in an answer that no browser takes for a page, and nowhere else.
func TestInsightsAreNoMarkup(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	const evil = `</script><script>alert(1)</script>`
	contact, deal, draft := g.things(t, key)
	for subject, id := range map[string]string{"contact": contact, "deal": deal, "invoice": draft} {
		g.insight(t, subject, id, "ai.x", `{"text":"`+evil+`"}`)
	}
	g.briefing(t, org, `{"text":"`+evil+`"}`)
	for _, path := range []string{"/api/ai/insights", "/api/contacts/" + contact, "/api/deals/" + deal, "/api/invoices/" + draft} {
		r := g.call(t, key, "GET", path, "").want(200)
		if kind := r.header.Get("Content-Type"); kind != "application/json" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s is sent as %q, %q", path, kind, r.header.Get("X-Content-Type-Options"))
		}
		var all any
		r.json(&all)
		if shown := fmt.Sprint(all); !strings.Contains(shown, evil) {
			t.Errorf("%s does not show the text as it is: %s", path, shown)
		}
	}
	for _, path := range []string{"/docs", "/openapi.json", "/asyncapi.json"} {
		if r := g.call(t, key, "GET", path, "").want(200); strings.Contains(string(r.body), "alert(1)") {
			t.Errorf("%s shows an insight", path)
		}
	}
}
