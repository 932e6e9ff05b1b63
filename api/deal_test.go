package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

// insertContact makes a contact without the API.
func (g *rig) insertContact(t testing.TB, org string) string {
	t.Helper()
	id := outbox.NewID()
	_, err := g.system.Pool().Exec(t.Context(), `INSERT INTO contacts (organization_id, id, name) VALUES ($1, $2, 'Asha')`, org, id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *reply) deal() DealView {
	r.t.Helper()
	var v DealView
	r.json(&v)
	return v
}

// dealRig is an organization with a contact.
type dealRig struct {
	*rig
	t                 testing.TB
	org, key, contact string
}

func newDealRig(t testing.TB) *dealRig {
	g := newRig(t)
	org, key := g.organization(t)
	return &dealRig{g, t, org, key, g.insertContact(t, org)}
}

// post makes a deal with further fields, such as `"stage":"won"`.
func (g *dealRig) post(fields ...string) *reply {
	g.t.Helper()
	body := fmt.Sprintf(`{"contact_id":%q,"title":"Annual licence","value":250000,%s`, g.contact, strings.Join(fields, ","))
	return g.call(g.t, g.key, "POST", "/api/deals", strings.TrimSuffix(body, ",")+"}")
}

func (g *dealRig) patch(d DealView, body string, headers ...string) *reply {
	g.t.Helper()
	return g.call(g.t, g.key, "PATCH", "/api/deals/"+d.ID, body, headers...)
}

// said is what the outbox says of a deal: types, and versions for all of which there are facts.
func (g *dealRig) said(id string) string {
	g.t.Helper()
	var said []string
	for _, f := range g.facts(g.t, id) {
		var data struct {
			Version int64
			Changed []string
			To      string
		}
		if err := json.Unmarshal([]byte(f.data), &data); err != nil {
			g.t.Fatal(err)
		}
		said = append(said, strings.TrimRight(fmt.Sprintf("%d %s %s%s", data.Version, f.typ, data.To, strings.Join(data.Changed, ",")), " "))
	}
	return strings.Join(said, "; ")
}

func (g *dealRig) says(d DealView, want ...string) {
	g.t.Helper()
	if got := g.said(d.ID); got != strings.Join(want, "; ") {
		g.t.Errorf("the outbox says\n%s\nwant\n%s", got, strings.Join(want, "; "))
	}
}

func TestCreateDeal(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	r := g.post().want(201)
	d := r.deal()
	if d.ContactID != g.contact || d.Title != "Annual licence" || d.Value != 250000 || d.Currency != "INR" || d.Stage != "lead" || d.Status != "open" ||
		d.Probability != 10 || d.ExpectedCloseDate != nil || d.LostReason != nil || d.ClosedAt != nil || d.Version != 1 || d.CreatedAt.IsZero() || d.StageChangedAt != d.CreatedAt {
		t.Errorf("got %s", r.body)
	}
	if tag := r.header.Get("ETag"); tag != `"1"` {
		t.Errorf("ETag %s", tag)
	}
	if at := r.header.Get("Location"); at != "/api/deals/"+d.ID {
		t.Errorf("it is at %q", at)
	}
	g.says(d, "1 deal.created")
	if again := g.call(t, g.key, "GET", "/api/deals/"+d.ID, "").want(200); string(again.body) != string(r.body) {
		t.Errorf("read %s\nmade %s", again.body, r.body)
	}
	for stage, want := range map[string]int{"lead": 10, "qualified": 25, "proposal": 50, "negotiation": 75, "won": 100, "lost": 0} {
		d := g.post(`"stage":"` + stage + `"`).want(201).deal()
		closed := stage == "won" || stage == "lost"
		if d.Probability != want || d.Stage != stage || (d.ClosedAt != nil) != closed || closed && d.Status != stage || !closed && d.Status != "open" {
			t.Errorf("%s: got %+v", stage, d)
		}
		if closed {
			g.says(d, "1 deal.created", "1 deal."+stage)
		}
	}
	all := g.post(`"stage":"lost","probability":0,"lost_reason":"price","expected_close_date":"2027-02-28"`).want(201)
	if d := all.deal(); *d.LostReason != "price" || !strings.Contains(string(all.body), `"expected_close_date":"2027-02-28"`) {
		t.Errorf("got %s", all.body)
	}
	g.post(`"stage":null,"probability":null,"lost_reason":null,"expected_close_date":null`).want(201)
	if d := g.post(`"value":9007199254740991`, `"title":"  spaced \t"`).want(201).deal(); d.Value != 9007199254740991 || d.Title != "spaced" {
		t.Errorf("got %+v", d)
	}
}

func TestDealsThatCanNotBe(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	otherOrg, _ := g.organization(t)
	foreign := g.insertContact(t, otherOrg)
	fields := func(s string) string {
		return `{"contact_id":"` + g.contact + `","title":"x","value":1,` + s + `}`
	}
	for body, pointers := range map[string]string{
		`{}`:                               "/contact_id /title /value",
		fields(`"value":-1`):               "/value",
		fields(`"value":1e3`):              "/value",
		fields(`"value":1.0`):              "/value",
		fields(`"probability":1e1`):        "/probability",
		fields(`"value":1.5`):              "/value",
		fields(`"value":"1"`):              "/value",
		fields(`"value":9007199254740992`): "/value",
		fields(`"title":""`):               "/title",
		fields(`"title":" "`):              "/title",
		fields(`"title":"a\nb"`):           "/title",
		fields(`"title":"` + strings.Repeat("x", 201) + `"`):                  "/title",
		fields(`"stage":"sold"`):                                              "/stage",
		fields(`"probability":101`):                                           "/probability",
		fields(`"probability":-1`):                                            "/probability",
		fields(`"stage":"won","probability":99`):                              "/probability",
		fields(`"stage":"lost","probability":1`):                              "/probability",
		fields(`"lost_reason":"price"`):                                       "/lost_reason",
		fields(`"stage":"won","lost_reason":"price"`):                         "/lost_reason",
		fields(`"stage":"lost","lost_reason":" "`):                            "/lost_reason",
		fields(`"stage":"lost","lost_reason":""`):                             "/lost_reason",
		fields(`"expected_close_date":"2026-02-30"`):                          "/expected_close_date",
		fields(`"expected_close_date":"2026-2-3"`):                            "/expected_close_date",
		fields(`"expected_close_date":"2026-02-03T00:00:00Z"`):                "/expected_close_date",
		fields(`"status":"won"`):                                              "/status",
		fields(`"currency":"USD"`):                                            "/currency",
		fields(`"contact_id":"` + foreign + `"`):                              "/contact_id",
		fields(`"contact_id":"` + outbox.NewID() + `"`):                       "/contact_id",
		fields(`"contact_id":"x"`):                                            "/contact_id",
		fields(`"contact_id":"{` + g.contact + `}"`):                          "/contact_id",
		fields(`"contact_id":null`):                                           "/contact_id",
		fields(`"title":" ","stage":"won","probability":1,"lost_reason":"x"`): "/title /probability /lost_reason",
	} {
		g.call(t, g.key, "POST", "/api/deals", body).problem(422, "validation_failed", strings.Fields(pointers)...)
	}
	unknown := g.call(t, g.key, "POST", "/api/deals", fields(`"contact_id":"`+foreign+`"`)).problem(422, "validation_failed")
	if got := unknown.Errors[0].Detail; got != "there is no such contact" {
		t.Errorf("of a contact of another organization it says %q", got)
	}
	if n := g.count(t, `SELECT count(*) FROM deals`) + g.count(t, `SELECT count(*) FROM outbox WHERE type LIKE 'deal.%'`); n != 0 {
		t.Errorf("%d rows of deals that were refused", n)
	}
}

func TestPatchDeal(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	r := g.post()
	d := r.want(201).deal()
	if same := g.patch(d, `{"title":"Annual licence","value":250000,"stage":"lead","expected_close_date":null,"probability":null}`).want(200); same.deal() != d {
		t.Errorf("nothing changed and it is %s", same.body)
	}
	g.says(d, "1 deal.created")

	second := g.insertContact(t, g.org)
	r = g.patch(d, `{"contact_id":"`+strings.ToUpper(second)+`","title":" T ","value":1,"probability":33,"expected_close_date":"2027-01-31"}`).want(200)
	got := r.deal()
	if got.ContactID != second || got.Title != "T" || got.Value != 1 || got.Probability != 33 || got.Version != 2 || got.StageChangedAt != d.StageChangedAt || r.header.Get("ETag") != `"2"` {
		t.Errorf("got %s", r.body)
	}
	if r := g.patch(d, `{"expected_close_date":"2027-01-31"}`).want(200); r.deal().Version != 2 {
		t.Errorf("the same day changed it: %s", r.body)
	}
	moved := g.patch(d, `{"stage":"proposal"}`).want(200).deal()
	if moved.Probability != 50 || moved.Version != 3 || !moved.StageChangedAt.After(d.StageChangedAt) || moved.ClosedAt != nil {
		t.Errorf("got %+v", moved)
	}
	if moved := g.patch(d, `{"stage":"negotiation","probability":50}`).want(200).deal(); moved.Probability != 50 {
		t.Errorf("got %+v", moved)
	}
	if moved := g.patch(d, `{"probability":null,"expected_close_date":null}`).want(200).deal(); moved.Probability != 75 || moved.ExpectedCloseDate != nil {
		t.Errorf("got %+v", moved)
	}
	lost := g.patch(d, `{"stage":"lost","lost_reason":"price"}`).want(200).deal()
	if lost.Status != "lost" || lost.Probability != 0 || lost.ClosedAt == nil || *lost.LostReason != "price" {
		t.Errorf("got %+v", lost)
	}
	if still := g.patch(d, `{"lost_reason":"time","title":"U"}`).want(200).deal(); *still.LostReason != "time" || *still.ClosedAt != *lost.ClosedAt {
		t.Errorf("got %+v", still)
	}
	if again := g.patch(d, `{"stage":"qualified"}`).want(200).deal(); again.Status != "open" || again.LostReason != nil || again.ClosedAt != nil || again.Probability != 25 {
		t.Errorf("got %+v", again)
	}
	won := g.patch(d, `{"stage":"won"}`).want(200).deal()
	if won.Status != "won" || won.Probability != 100 || won.ClosedAt == nil || won.Version != 9 {
		t.Errorf("got %+v", won)
	}
	g.patch(d, `{"value":7}`).want(200)
	g.says(d, "1 deal.created", "2 deal.updated contact_id,title,value,probability,expected_close_date",
		"3 deal.updated probability", "3 deal.stage_changed proposal", "4 deal.stage_changed negotiation",
		"5 deal.updated probability,expected_close_date",
		"6 deal.updated probability,lost_reason", "6 deal.stage_changed lost", "6 deal.lost",
		"7 deal.updated title,lost_reason", "8 deal.updated probability,lost_reason", "8 deal.stage_changed qualified",
		"9 deal.updated probability", "9 deal.stage_changed won", "9 deal.won", "10 deal.updated value")
}

func TestPatchesOfDealsThatAreRefused(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	otherOrg, _ := g.organization(t)
	foreign := g.insertContact(t, otherOrg)
	open, won := g.post().want(201).deal(), g.post(`"stage":"won"`).want(201).deal()
	lost := g.post(`"stage":"lost"`).want(201).deal()
	for _, c := range []struct {
		deal          DealView
		body, pointer string
	}{
		{open, `{"title":null}`, "/title"}, {open, `{"title":" "}`, "/title"}, {open, `{"value":null}`, "/value"},
		{open, `{"stage":null}`, "/stage"}, {open, `{"contact_id":null}`, "/contact_id"}, {open, `{"contact_id":"` + foreign + `"}`, "/contact_id"},
		{open, `{"contact_id":"` + outbox.NewID() + `"}`, "/contact_id"}, {open, `{"lost_reason":"x"}`, "/lost_reason"},
		{open, `{"stage":"won","probability":10}`, "/probability"}, {open, `{"stage":"lost","probability":10}`, "/probability"},
		{open, `{"status":"won"}`, "/status"}, {open, `{"version":9}`, "/version"}, {open, `{"closed_at":null}`, "/closed_at"},
		{won, `{"probability":99}`, "/probability"}, {won, `{"lost_reason":"x"}`, "/lost_reason"}, {lost, `{"probability":1}`, "/probability"},
		{lost, `{"stage":"lead","lost_reason":"x"}`, "/lost_reason"}, {open, `{"expected_close_date":"soon"}`, "/expected_close_date"},
		{open, `{"value":9007199254740993}`, "/value"},
	} {
		g.patch(c.deal, c.body).problem(422, "validation_failed", c.pointer)
	}
	for _, to := range []string{"lead", "qualified", "proposal", "negotiation", "lost"} {
		p := g.patch(won, `{"stage":"`+to+`"}`).problem(409, "invalid_transition")
		if !strings.Contains(p.Detail, "from won to "+to) || !strings.Contains(p.Detail, "nowhere") {
			t.Errorf("it says %q", p.Detail)
		}
	}
	p := g.patch(lost, `{"stage":"won"}`).problem(409, "invalid_transition")
	if !strings.Contains(p.Detail, "from lost to won") || !strings.Contains(p.Detail, "to lead, qualified, proposal, negotiation") {
		t.Errorf("it says %q", p.Detail)
	}
	for _, d := range []DealView{open, won, lost} {
		if got := g.call(t, g.key, "GET", "/api/deals/"+d.ID, "").want(200).deal(); got.Version != 1 {
			t.Errorf("a refused patch left %+v", got)
		}
	}
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE aggregate_version > 1`); n != 0 {
		t.Errorf("%d events of patches that were refused", n)
	}
}

func TestVersionsOfDeals(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	d := g.post().want(201).deal()
	path := "/api/deals/" + d.ID
	g.call(t, g.key, "GET", path, "", "If-None-Match", `W/"1"`).want(304)
	g.patch(d, `{"value":2}`, "If-Match", `"1"`).want(200)
	g.call(t, g.key, "GET", path, "", "If-None-Match", `"1"`).want(200)
	g.patch(d, `{"value":3}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	g.patch(d, `{}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	g.patch(d, `{"value":3}`, "If-Match", `*`).want(200)
	g.call(t, g.key, "DELETE", path, "", "If-Match", `"2"`).problem(412, "precondition_failed")
	g.call(t, g.key, "DELETE", path, "", "If-Match", `"3"`).want(204)
	g.says(d, "1 deal.created", "2 deal.updated value", "3 deal.updated value", "4 deal.deleted")
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		body := ""
		if method == "PATCH" {
			body = `{"value":9}`
		}
		g.call(t, g.key, method, path, body).problem(404, "not_found")
		g.call(t, g.key, method, "/api/deals/x", body).problem(404, "not_found")
	}
	g.call(t, g.key, "DELETE", "/api/deals/"+g.post().want(201).deal().ID, "").want(204)
}

func TestListDeals(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	first, second := g.contact, g.insertContact(t, g.org)
	var ids []string // newest first
	for _, c := range []struct{ contact, stage string }{{first, "lead"}, {second, "proposal"}, {first, "won"}, {first, "lost"}, {second, "won"}, {first, "lead"}} {
		g.contact = c.contact
		ids = slices.Insert(ids, 0, g.post(`"stage":"`+c.stage+`"`).want(201).deal().ID)
	}
	// pages reads a list to its end, two at a time.
	pages := func(query string) (got []string) {
		t.Helper()
		cursor := ""
		for {
			var p page[DealView]
			g.call(t, g.key, "GET", "/api/deals?limit=2"+query+cursor, "").want(200).json(&p)
			for _, d := range p.Data {
				got = append(got, d.ID)
			}
			if p.NextCursor == nil {
				return got
			}
			cursor = "&cursor=" + *p.NextCursor
		}
	}
	for query, want := range map[string][]string{
		"":                       ids,
		"&status=open":           {ids[0], ids[4], ids[5]},
		"&status=won":            {ids[1], ids[3]},
		"&stage=lead":            {ids[0], ids[5]},
		"&status=won&stage=lead": nil,
		"&contact_id=" + first:   {ids[0], ids[2], ids[3], ids[5]},
		"&contact_id=" + second:  {ids[1], ids[4]},
		"&status=open&contact_id=" + strings.ToUpper(first): {ids[0], ids[5]},
		"&contact_id=" + outbox.NewID():                     nil,
	} {
		if got := pages(query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	var p page[DealView]
	g.call(t, g.key, "GET", "/api/deals?limit=1&status=open", "").want(200).json(&p)
	g.call(t, g.key, "GET", "/api/deals?limit=1&status=won&cursor="+*p.NextCursor, "").problem(400, "invalid_cursor")
	// What is included is no filter.
	g.call(t, g.key, "GET", "/api/deals?limit=1&status=open&include=contact&cursor="+*p.NextCursor, "").want(200)
	for query, pointer := range map[string]string{"status=sold": "/query/status", "stage=open": "/query/stage", "contact_id=x": "/query/contact_id",
		"contact_id=%7B" + first + "%7D": "/query/contact_id", "limit=0": "/query/limit", "colour=red": "/query/colour"} {
		g.call(t, g.key, "GET", "/api/deals?"+query, "").problem(422, "validation_failed", pointer)
	}
	_, stranger := g.organization(t)
	g.call(t, stranger, "GET", "/api/deals?contact_id="+first, "").want(200).json(&p)
	if len(p.Data) != 0 {
		t.Errorf("another organization sees %d deals", len(p.Data))
	}
}

// A contact that is deleted while a deal is being made with it is no contact any more.
func TestDealWithAContactThatGoes(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	d := g.post().want(201).deal()
	for what, send := range map[string]func(contact string) *reply{
		"post": func(contact string) *reply {
			return g.call(t, g.key, "POST", "/api/deals", `{"title":"x","value":1,"contact_id":"`+contact+`"}`)
		},
		"patch": func(contact string) *reply { return g.patch(d, `{"contact_id":"`+contact+`"}`) },
	} {
		contact := g.insertContact(t, g.org)
		tx, err := g.system.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(t.Context()))
		if _, err := tx.Exec(t.Context(), `DELETE FROM contacts WHERE id = $1`, contact); err != nil {
			t.Fatal(err)
		}
		answer := make(chan *reply)
		go func() { answer <- send(contact) }()
		eventually(t, func() bool {
			return g.count(t, `
				SELECT count(*) FROM pg_locks w WHERE NOT granted AND EXISTS (
					SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.pid = w.pid AND d.datname = current_database())`) > 0
		})
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := (<-answer).problem(422, "validation_failed", "/contact_id"); p.Errors[0].Detail != "there is no such contact" {
			t.Errorf("%s: it says %q", what, p.Errors[0].Detail)
		}
	}
	g.says(d, "1 deal.created")
}
