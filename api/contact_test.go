package api

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

const aContact = `{"name":"Asha Rao","email":"asha@example.com","phone":"+91 98450 12345","company":"Rao Textiles"}`

func (g *rig) contact(t testing.TB, key, body string) contactDetailView {
	t.Helper()
	var v contactDetailView
	g.call(t, key, "POST", "/api/contacts", body).want(201).json(&v)
	return v
}

// execute runs a statement with the eyes of the system.
func (g *rig) execute(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := g.system.Pool().Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

const insertADeal = `INSERT INTO deals (organization_id, id, contact_id, title, value, probability) VALUES ($1, $2, $3, 'x', 1, 10)`

const insertAnInvoice = `
INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date,
                      due_date, subtotal, cgst, sgst, igst, total)
VALUES ($1, $2, $3, 'x', '27', false, now(), now(), 0, 0, 0, 0, 0)`

func TestCreateContact(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	r := g.call(t, key, "POST", "/api/contacts", `{"name":"  Asha Rao ","email":" Asha@Example.com","phone":"(+91) 98450-12345"}`)
	r.want(422)
	r = g.call(t, key, "POST", "/api/contacts", `{"name":"  Asha Rao ","email":"Asha@Example.com","phone":"+91 (98450) 12345",
		"gstin":"29aaacr5055k1z3","tags":[" vip ","Mysore"],"last_contacted_at":"2026-11-01T10:00:00.123456789+05:30","notes":"a\nb","address":" 12, MG Road\r\n\n मैसूर "}`).want(201)
	var v contactDetailView
	r.json(&v)
	if tag := g.call(t, key, "GET", "/api/contacts/"+v.ID, "").header.Get("ETag"); tag == "" || r.header.Get("ETag") != tag {
		t.Errorf("made with the ETag %s, read with %s", r.header.Get("ETag"), tag)
	}
	if r.header.Get("Location") != "/api/contacts/"+v.ID {
		t.Errorf("Location %s", r.header.Get("Location"))
	}
	var fields map[string]any
	r.json(&fields)
	for name, want := range map[string]any{
		"name": "Asha Rao", "email": "Asha@Example.com", "phone": "+91 (98450) 12345", "company": nil, "type": "lead",
		"stage": "prospect", "status": "active", "source": nil, "gstin": "29AAACR5055K1Z3", "address": "12, MG Road\nमैसूर", "city": nil, "state": nil,
		"lead_score": nil, "notes": "a\nb", "last_contacted_at": "2026-11-01T04:30:00.123456Z", "next_follow_up": nil,
		"version": json.Number("1"),
	} {
		if got, there := fields[name]; !there || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if !slices.Equal(v.Tags, []string{"vip", "Mysore"}) || v.Counts != (contactCounts{}) {
		t.Errorf("tags %v, counts %v", v.Tags, v.Counts)
	}
	read := g.call(t, key, "GET", "/api/contacts/"+v.ID, "").want(200)
	if string(read.body) != string(r.body) {
		t.Errorf("read  %s\nafter %s", read.body, r.body)
	}
	facts := g.facts(t, v.ID)
	if len(facts) != 1 || facts[0].typ != "contact.created" || strings.Contains(facts[0].data, "Asha") {
		t.Errorf("facts %+v", facts)
	}
	// What has a standard may be null, and then has it.
	v = g.contact(t, key, `{"name":"x","type":null,"stage":null,"status":null,"tags":null,"email":null,"next_follow_up":null}`)
	if v.Type != "lead" || v.Stage != "prospect" || v.Status != "active" || len(v.Tags) != 0 {
		t.Errorf("got %+v", v)
	}
}

func TestContactIsChecked(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	many := `"` + strings.Join(strings.Split(strings.Repeat("t,", 50)+"t", ","), `","`) + `"`
	id := g.contact(t, key, aContact).ID
	for fields, pointers := range map[string]string{
		`"name":" \t "`:                                "/name",
		`"name":""`:                                    "/name",
		`"name":null`:                                  "/name",
		`"name":7`:                                     "/name",
		`"name":"a\nb"`:                                "/name",
		`"name":"` + long(201) + `"`:                   "/name",
		`"email":"asha"`:                               "/email",
		`"email":"Asha <asha@example.com>"`:            "/email",
		`"email":"a@example.com, b@example.com"`:       "/email",
		`"email":"a@example..com"`:                     "/email",
		`"email":"a@-example.com"`:                     "/email",
		`"email":"a@[127.0.0.1]"`:                      "/email",
		`"email":"a b@example.com"`:                    "/email",
		`"email":"` + long(250) + `@x.in"`:             "/email",
		`"email":""`:                                   "/email",
		`"phone":"12345"`:                              "/phone",
		`"phone":"1234567890123456"`:                   "/phone",
		`"phone":"98450x12345"`:                        "/phone",
		`"phone":"98450+12345"`:                        "/phone",
		`"phone":"९८४५०१२३४५"`:                         "/phone",
		`"company":" "`:                                "/company",
		`"type":"friend"`:                              "/type",
		`"stage":"won"`:                                "/stage",
		`"status":"gone"`:                              "/status",
		`"gstin":"29AAACR5055K1ZX"`:                    "/gstin",
		`"gstin":"29"`:                                 "/gstin",
		`"city":"` + long(101) + `"`:                   "/city",
		`"address":"` + long(501) + `"`:                "/address",
		`"address":" \n "`:                             "/address",
		`"address":"a\tb"`:                             "/address",
		`"address":"` + strings.Repeat(`a\n`, 9) + `"`: "/address",
		`"state":"` + long(65) + `"`:                   "/state",
		`"source":""`:                                  "/source",
		`"tags":"vip"`:                                 "/tags",
		`"tags":["a","b","a "]`:                        "/tags/2",
		`"tags":["a",""]`:                              "/tags/1",
		`"tags":["a","` + long(51) + `"]`:              "/tags/1",
		`"tags":[1]`:                                   "/tags/0",
		`"tags":[` + many + `]`:                        "/tags",
		`"notes":"` + long(10001) + `"`:                "/notes",
		`"next_follow_up":"tomorrow"`:                  "/next_follow_up",
		`"next_follow_up":"9999-12-31T23:30:00-05:00"`: "/next_follow_up",
		`"last_contacted_at":5`:                        "/last_contacted_at",
		`"lead_score":50`:                              "/lead_score",
		`"version":2`:                                  "/version",
		`"id":"` + outbox.NewID() + `"`:                "/id",
		`"phone":"1","gstin":"x","tags":[""]`:          "/phone /gstin /tags/0",
	} {
		body := `{` + fields + `}`
		if strings.HasPrefix(fields, `"phone":"1",`) {
			body = `{` + strings.Replace(fields, `"1"`, `"123"`, 1) + `}`
		}
		g.call(t, key, "PATCH", "/api/contacts/"+id, body).problem(422, "validation_failed", strings.Fields(pointers)...)
		if !strings.Contains(fields, `"name"`) {
			body = strings.Replace(body, "{", `{"name":"x",`, 1)
		}
		g.call(t, key, "POST", "/api/contacts", body).problem(422, "validation_failed", strings.Fields(pointers)...)
	}
	g.call(t, key, "POST", "/api/contacts", `{"email":"a@b.in"}`).problem(422, "validation_failed", "/name")
	if n := g.count(t, `SELECT count(*) FROM contacts`); n != 1 {
		t.Errorf("%d contacts, want the one that was right", n)
	}
	for _, fields := range []string{
		`"email":"o'neil+crm@sub.example.co.in"`, `"email":"आशा@उदाहरण.भारत"`, `"phone":"080-2345678"`, `"phone":"+14155552671"`,
		`"name":"` + strings.Repeat("ಅ", 200) + `"`, `"notes":""`, `"next_follow_up":"9999-12-31T23:59:59.999999Z"`,
		`"last_contacted_at":"0001-01-01T00:00:00Z"`, `"tags":["a","A"]`,
	} {
		g.call(t, key, "PATCH", "/api/contacts/"+id, `{`+fields+`}`).want(200)
	}
}

func TestPatchContact(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	path := "/api/contacts/" + g.contact(t, key, aContact).ID
	patch := func(body string, headers ...string) *reply { return g.call(t, key, "PATCH", path, body, headers...) }
	first := g.call(t, key, "GET", path, "").want(200)
	tag := first.header.Get("ETag")
	g.call(t, key, "GET", path, "", "If-None-Match", tag).want(304)

	for _, same := range []string{`{}`, `{"name":"Asha Rao ","tags":[],"type":"lead","city":null}`} {
		if r := patch(same).want(200); r.header.Get("ETag") != tag || string(r.body) != string(first.body) {
			t.Errorf("%s changed something: %s", same, r.body)
		}
	}
	id := strings.TrimPrefix(path, "/api/contacts/")
	if n := len(g.facts(t, id)); n != 1 {
		t.Fatalf("%d facts after patches that changed nothing", n)
	}
	var v contactDetailView
	r := patch(`{"email":null,"phone":"080 2345 6789","stage":"customer","tags":["vip"]}`, "If-Match", tag).want(200)
	r.json(&v)
	if v.Email != nil || *v.Phone != "080 2345 6789" || v.Stage != "customer" || v.Name != "Asha Rao" || v.Version != 2 || !v.UpdatedAt.After(v.CreatedAt) {
		t.Errorf("got %s", r.body)
	}
	g.call(t, key, "GET", path, "", "If-None-Match", r.header.Get("ETag")).want(304)
	g.call(t, key, "GET", path, "", "If-None-Match", tag).want(200)
	facts := g.facts(t, id)
	var changed struct {
		Changed []string
		Version int64
	}
	if err := json.Unmarshal([]byte(facts[len(facts)-1].data), &changed); err != nil || len(facts) != 2 ||
		!slices.Equal(changed.Changed, []string{"email", "phone", "stage", "tags"}) || changed.Version != 2 {
		t.Errorf("facts %+v", facts)
	}
	patch(`{"name":"Late"}`, "If-Match", tag).problem(412, "precondition_failed")
	patch(`{"name":"Late"}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	patch(`{"name":"New"}`, "If-Match", `"2"`, "Content-Type", "application/merge-patch+json").want(200)
	patch(`{"stage":null}`, "If-Match", "*").want(200).json(&v)
	if v.Stage != "prospect" || v.Name != "New" || v.Version != 4 {
		t.Errorf("got %+v", v)
	}
	g.call(t, key, "PATCH", "/api/contacts/"+outbox.NewID(), `{"name":"x"}`).problem(404, "not_found")
	g.call(t, key, "PATCH", "/api/contacts/1", `{"name":"x"}`).problem(404, "not_found")
}

func TestContactPatchesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	path := "/api/contacts/" + g.contact(t, key, `{"name":"x"}`).ID
	var wg sync.WaitGroup
	for _, body := range []string{`{"name":"N"}`, `{"city":"Pune"}`, `{"tags":["a"]}`, `{"notes":"n"}`} {
		wg.Go(func() { g.call(t, key, "PATCH", path, body).want(200) })
	}
	wg.Wait()
	var v contactDetailView
	g.call(t, key, "GET", path, "").want(200).json(&v)
	if v.Name != "N" || *v.City != "Pune" || len(v.Tags) != 1 || *v.Notes != "n" || v.Version != 5 {
		t.Errorf("got %+v", v)
	}
}

// The detail shows what comes and goes beside the contact, so its ETag tells of that as well; a change is
// still meant for the contact alone.
func TestContactTagCoversCounts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.contact(t, key, aContact).ID
	path := "/api/contacts/" + id
	tag := g.call(t, key, "GET", path, "").want(200).header.Get("ETag")
	g.execute(t, insertADeal, org, outbox.NewID(), id)
	g.execute(t, insertAnInvoice, org, outbox.NewID(), id)
	var v contactDetailView
	g.call(t, key, "GET", path, "", "If-None-Match", tag).want(200).json(&v)
	if v.Counts != (contactCounts{Deals: 1, OpenDeals: 1, Invoices: 1}) {
		t.Errorf("counts %+v", v.Counts)
	}
	g.call(t, key, "PATCH", path, `{"city":"Pune"}`, "If-Match", tag).want(200)
}

func TestContactIsMadeOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	first := g.call(t, key, "POST", "/api/contacts", aContact, "Idempotency-Key", "k").want(201)
	again := g.call(t, key, "POST", "/api/contacts", aContact, "Idempotency-Key", "k").want(201)
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" ||
		again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("again %v %s", again.header, again.body)
	}
	if n := g.count(t, `SELECT count(*) FROM contacts`); n != 1 {
		t.Errorf("%d contacts", n)
	}
	if n := g.count(t, `SELECT count(*) FROM outbox WHERE type = 'contact.created'`); n != 1 {
		t.Errorf("%d facts", n)
	}
}
