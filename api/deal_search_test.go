package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSearchDeals(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	var ids []string // oldest first
	for _, title := range []string{"Annual licence", "ANNUAL audit", "50%_off, once", "licence, annual"} {
		ids = append(ids, g.post(fmt.Sprintf(`"title":%q`, title)).want(201).deal().ID)
	}
	g.call(t, g.key, "PATCH", "/api/deals/"+ids[1], `{"stage":"won"}`).want(200)
	otherOrg, other := g.organization(t)
	theirs := dealRig{g.rig, t, otherOrg, other, g.insertContact(t, otherOrg)}
	theirs.post(`"title":"Annual licence"`).want(201)
	for query, want := range map[string][]int{
		"q=annual": {3, 1, 0}, "q=Annual+Lic": {3, 0}, "q=licence+annual": {3, 0}, "q=annual+zz": nil, "q=AUDIT+ann+annual": {1}, "q=once+%25_": {2}, "q=l+n+c+e+a+i+once": nil, "q=a+n+l+u": {3, 1, 0}, "q=+audit+": {1}, "q=n": {3, 2, 1, 0}, "q=zz": nil,
		"q=%25": {2}, "q=_": {2}, "q=" + url.QueryEscape("%_"): {2}, "q=": {3, 2, 1, 0}, "q=++": {3, 2, 1, 0},
		"q=annual&status=open": {3, 0}, "q=annual&stage=won": {1}, "q=annual&contact_id=" + g.contact: {3, 1, 0}, "q=annual&contact_id=" + theirs.contact: nil,
	} {
		var got, wanted []string
		for _, i := range want {
			wanted = append(wanted, ids[i])
		}
		for cursor := ""; ; {
			var p page[DealView]
			g.call(t, g.key, "GET", "/api/deals?limit=1&"+query+cursor, "").want(200).json(&p)
			for _, d := range p.Data {
				got = append(got, d.ID)
			}
			if !p.HasMore {
				break
			}
			cursor = "&cursor=" + *p.NextCursor
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: got %v, want %v", query, got, wanted)
		}
	}
	var p page[DealView]
	g.call(t, g.key, "GET", "/api/deals?limit=1&q=annual", "").want(200).json(&p)
	g.call(t, g.key, "GET", "/api/deals?limit=1&q=annua&cursor="+*p.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, g.key, "GET", "/api/deals?q=a+b+c+d+e+f+g+h+i+j+a", "").want(200)
	g.call(t, g.key, "GET", "/api/deals?q=a+b+c+d+e+f+g+h+i+j+k", "").problem(422, "validation_failed", "/query/q")
	g.call(t, g.key, "GET", "/api/deals?q="+strings.Repeat("x", 201), "").problem(422, "validation_failed", "/query/q")
}

// A search that takes too long is a problem that says so.
func TestSearchForDealsTakesTooLong(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	_, err := g.system.Pool().Exec(t.Context(), `
		INSERT INTO deals (organization_id, id, contact_id, title, value, probability)
		SELECT $1, gen_random_uuid(), $2, 'x', 1, 10 FROM generate_series(1, 20000)`, g.org, g.contact)
	if err != nil {
		t.Fatal(err)
	}
	g.patience = time.Millisecond
	if r := g.call(t, g.key, "GET", "/api/deals?q=zz", ""); r.problem(503, "search_timeout").Detail == "" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %v", r.header)
	}
}

func TestDealsIncludeContacts(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	g.post().want(201)
	g.contact = g.insertContact(t, g.org)
	for range 2 {
		g.post().want(201)
	}
	for _, query := range []string{"include=contact", "include=contact&q=licence", "include=contact&limit=2"} {
		r := g.call(t, g.key, "GET", "/api/deals?"+query, "").want(200)
		var p page[DealView]
		r.json(&p)
		for _, d := range p.Data {
			if d.Contact == nil || d.Contact.ID != d.ContactID || d.Contact.Name != "Asha" {
				t.Errorf("%s: the contact of %s is %+v", query, d.ID, d.Contact)
			}
		}
		if len(p.Data) < 2 {
			t.Errorf("%s: got %d deals", query, len(p.Data))
		}
	}
	if r := g.call(t, g.key, "GET", "/api/deals", "").want(200); strings.Contains(string(r.body), `"contact":`) {
		t.Errorf("unasked it shows %s", r.body)
	}
	g.call(t, g.key, "GET", "/api/deals?include=invoices", "").problem(422, "validation_failed", "/query/include")
}

func TestDealIsMadeOnce(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	post := func(title string) *reply {
		return g.call(t, g.key, "POST", "/api/deals", fmt.Sprintf(`{"contact_id":%q,"title":%q,"value":1,"stage":"won"}`, g.contact, title), "Idempotency-Key", "one")
	}
	post(" ").problem(422, "validation_failed", "/title") // keeps no key
	first := post("x").want(201)
	again := post("x").want(201)
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("got %s, then %s", first.body, again.body)
	}
	post("y").problem(422, "idempotency_key_reused")
	g.says(first.deal(), "1 deal.created", "1 deal.won")
	if n := g.count(t, `SELECT count(*) FROM deals`); n != 1 {
		t.Errorf("%d deals", n)
	}
}
