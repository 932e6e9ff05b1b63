package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/localstack"
)

// cachedReads are all reads that may come from the cache.
var cachedReads = []string{
	"/api/organization", "/api/dashboard/metrics",
	"/api/contacts", "/api/contacts?limit=1", "/api/contacts?status=inactive", "/api/contacts?type=lead", "/api/contacts?stage=prospect",
	"/api/contacts?include=deals", "/api/contacts?include=invoices", "/api/contacts?include=invoices,deals",
	"/api/deals?include=contact", "/api/deals", "/api/deals?limit=2", "/api/deals?status=open", "/api/deals?stage=qualified",
	"/api/invoices", "/api/invoices?limit=1", "/api/invoices?status=paid",
	"/api/invoices?include=contact",
}

var generatedAt = regexp.MustCompile(`"generated_at":"[^"]*"`)

func (r *reply) timeless() string { return generatedAt.ReplaceAllString(string(r.body), "") }

// After each of all the writes that there are, what two processes answer, from the cache or not, is what a
// process without a cache reads from the database.
func TestCachedAnswersAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	plain := newRig(t)
	redis := localstack.TestRedis(t).URL()
	one, two := plain.twin(t, withCache(t, redis)), plain.twin(t, withCache(t, redis))
	_, key := plain.organization(t)
	_, stranger := plain.organization(t)
	compare := func(after string) {
		for _, path := range cachedReads {
			want := plain.call(t, key, "GET", path, "").want(200).from(cachetag.Bypass)
			for _, process := range []*rig{one, two} {
				got := process.call(t, key, "GET", path, "").want(200)
				if got.timeless() != want.timeless() {
					t.Errorf("after %s: %s (%s)\n%s\nwant\n%s", after, path, got.header.Get("X-Cache"), got.body, want.body)
				}
			}
			two.call(t, key, "GET", path, "").want(200).from(cachetag.Hit)
		}
	}
	compare("nothing")
	for _, path := range cachedReads {
		if got := one.call(t, stranger, "GET", path, "").want(200).from(cachetag.Miss); got.header.Get("X-Cache") != "miss" {
			t.Errorf("a stranger's %s comes from elsewhere", path)
		}
	}
	ids := map[string]string{}
	turn := 0
	do := func(name, method, path, body string) {
		t.Helper()
		process := []*rig{one, two}[turn%2]
		turn++
		r := process.call(t, key, method, path, body)
		if r.status >= 400 {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		var made struct{ ID string }
		if method == "POST" && r.status == 201 {
			r.json(&made)
			ids[name] = made.ID
		}
		compare(name)
	}
	do("contact", "POST", "/api/contacts", `{"name":"Asha","state":"Karnataka"}`)
	do("spare contact", "POST", "/api/contacts", `{"name":"Ravi"}`)
	do("contact changed", "PATCH", "/api/contacts/"+ids["contact"], `{"status":"inactive"}`)
	do("contact deleted", "DELETE", "/api/contacts/"+ids["spare contact"], "")
	for _, name := range []string{"deal", "second deal", "third deal"} {
		do(name, "POST", "/api/deals", fmt.Sprintf(`{"contact_id":%q,"title":%q,"value":5000}`, ids["contact"], name))
	}
	do("deal changed", "PATCH", "/api/deals/"+ids["deal"], `{"value":7000}`)
	do("deal moved", "PATCH", "/api/deals/"+ids["deal"], `{"stage":"qualified"}`)
	do("deal won", "PATCH", "/api/deals/"+ids["deal"], `{"stage":"won"}`)
	do("deal lost", "PATCH", "/api/deals/"+ids["second deal"], `{"stage":"lost"}`)
	do("deal deleted", "DELETE", "/api/deals/"+ids["third deal"], "")
	for _, name := range []string{"invoice", "second invoice", "third invoice"} {
		do(name, "POST", "/api/invoices", invoiceBody(ids["contact"], ""))
	}
	do("draft changed", "PATCH", "/api/invoices/"+ids["invoice"], `{"notes":"x"}`)
	do("invoice sent", "POST", "/api/invoices/"+ids["invoice"]+"/send", "")
	do("part paid", "POST", "/api/invoices/"+ids["invoice"]+"/pay", `{"amount":18000}`)
	do("rest paid", "POST", "/api/invoices/"+ids["invoice"]+"/pay", `{"amount":100000}`)
	do("second sent", "POST", "/api/invoices/"+ids["second invoice"]+"/send", "")
	do("second cancelled", "POST", "/api/invoices/"+ids["second invoice"]+"/cancel", "")
	do("draft deleted", "DELETE", "/api/invoices/"+ids["third invoice"], "")
	do("contact of all changed", "PATCH", "/api/contacts/"+ids["contact"], `{"name":"Asha Rao"}`)
	do("organization changed", "PATCH", "/api/organization", `{"name":"New"}`)
	for _, path := range cachedReads {
		one.call(t, stranger, "GET", path, "").want(200).from(cachetag.Hit)
	}
}

// What can be asked for in any number of ways is not kept.
func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	g := newRig(t, withCache(t, localstack.TestRedis(t).URL()))
	_, key := g.organization(t)
	contact := g.contact(t, key, aContact).ID
	g.contact(t, key, aContact)
	for range 2 {
		g.call(t, key, "POST", "/api/deals", fmt.Sprintf(`{"contact_id":%q,"title":"x","value":1}`, contact)).want(201)
		g.draft(t, key, contact)
	}
	for list, search := range map[string]string{
		"/api/contacts": "?q=Asha", "/api/deals": "?contact_id=" + contact, "/api/invoices": "?contact_id=" + contact} {
		var first page[struct{ ID string }]
		g.call(t, key, "GET", list+"?limit=1", "").want(200).json(&first)
		for _, query := range []string{"?limit=1&cursor=" + *first.NextCursor, search, "?q=no+such"} {
			for range 2 {
				var p page[struct{ ID string }]
				g.call(t, key, "GET", list+query, "").want(200).from(cachetag.Bypass).json(&p)
				if len(p.Data) == 0 && !strings.HasSuffix(query, "such") {
					t.Errorf("%s is empty", list+query)
				}
			}
		}
		g.call(t, key, "GET", list+"?cursor=x", "").problem(400, "invalid_cursor")
		g.call(t, key, "GET", list+"?colour=x", "").want(422)
		// The parameters' order and defaults mean nothing.
		g.call(t, key, "GET", list+"?status=paid&limit=50", "")
		g.call(t, key, "GET", list+"?limit=50", "").want(200).from(cachetag.Miss)
		g.call(t, key, "GET", list, "").want(200).from(cachetag.Hit)
	}
}
