package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

// business gives a contact eight deals and six invoices: deals 3 and 6 are won, invoices 1 and 4 are paid, 2 is
// overdue, 3 and 5 are sent, and 0 is a draft. It gives their ids in the order in which they were made.
func (g *rig) business(t testing.TB, org, contact string) (deals, invoices []string) {
	t.Helper()
	for i := range 8 {
		id := outbox.NewID()
		deals = append(deals, id)
		g.execute(t, insertADeal, org, id, contact)
		if i == 3 || i == 6 {
			g.execute(t, `UPDATE deals SET stage = 'won', probability = 100, closed_at = now() WHERE id = $1`, id)
		}
	}
	for i, status := range []string{"draft", "paid", "overdue", "sent", "paid", "sent"} {
		id := outbox.NewID()
		invoices = append(invoices, id)
		g.execute(t, insertAnInvoice, org, id, contact)
		if status == "draft" {
			continue
		}
		g.execute(t, `UPDATE invoices SET subtotal = 100, total = 100 WHERE id = $1`, id)
		g.execute(t, `INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total)
			VALUES ($1, $2, 1, 'x', 1, 100, 0, 100, 0, 0, 0, 100)`, org, id)
		g.execute(t, `UPDATE invoices SET status = 'sent', financial_year = 2026, sequence = $2, number = $3, sent_at = now(),
			supplier = '{"name":"s","gstin":null,"state":"x","state_code":"29"}',
			customer = '{"name":"c","company":null,"email":null,"gstin":null,"state":null,"city":null}' WHERE id = $1`,
			id, g.count(t, `SELECT count(*) FROM invoices`), fmt.Sprintf("N-%d-%d", i, g.count(t, `SELECT count(*) FROM invoices`)))
		switch status {
		case "overdue":
			g.execute(t, `UPDATE invoices SET status = 'overdue' WHERE id = $1`, id)
		case "paid":
			g.execute(t, `UPDATE invoices SET status = 'paid', amount_paid = 100, paid_at = now() WHERE id = $1`, id)
		}
	}
	return deals, invoices
}

func pick(ids []string, at ...int) (picked []string) {
	for _, i := range at {
		picked = append(picked, ids[i])
	}
	return picked
}

func shownOf(c ContactView) (deals, invoices []string) {
	for _, d := range c.Deals {
		deals = append(deals, d.ID)
	}
	for _, v := range c.Invoices {
		invoices = append(invoices, v.ID)
	}
	return deals, invoices
}

func TestIncludes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	stranger, other := g.organization(t)
	busy, idle := g.contact(t, key, `{"name":"busy"}`).ID, g.contact(t, key, `{"name":"idle"}`).ID
	deals, invoices := g.business(t, org, busy)
	g.business(t, stranger, g.contact(t, other, `{"name":"busy"}`).ID)
	listed := [2][]string{pick(deals, 7, 5, 4, 2, 1), pick(invoices, 5, 3, 2)}
	detailed := [2][]string{pick(deals, 7, 5, 4, 2, 1, 0, 6, 3), pick(invoices, 5, 4, 3, 2, 1)}
	for query, with := range map[string]string{
		"include=deals,invoices": "di", "include=invoices,deals": "di", "include=deals&include=invoices": "di",
		"include=deals": "d", "include=invoices": "i", "include=": "", "": "", "include=deals,deals": "d",
	} {
		check := func(what string, c ContactView, body string, want [2][]string) {
			t.Helper()
			for i, name := range []string{"deals", "invoices"} {
				if !strings.Contains(with, name[:1]) {
					want[i] = nil
				}
				if there := strings.Contains(body, `"`+name+`":[`); there != strings.Contains(with, name[:1]) {
					t.Errorf("%s?%s: %s are there: %v", what, query, name, there)
				}
			}
			if deals, invoices := shownOf(c); !slices.Equal(deals, want[0]) || !slices.Equal(invoices, want[1]) {
				t.Errorf("%s?%s: got %v and %v, want %v", what, query, deals, invoices, want)
			}
		}
		var p page[ContactView]
		r := g.call(t, key, "GET", "/api/contacts?"+query, "").want(200).json(&p)
		if len(p.Data) != 2 || p.Data[0].ID != idle {
			t.Fatalf("%s: %s", query, r.body)
		}
		check("idle in the list", p.Data[0], string(r.body), [2][]string{})
		check("busy in the list", p.Data[1], string(r.body), listed)
		var c contactDetailView
		r = g.call(t, key, "GET", "/api/contacts/"+busy+"?"+query, "").want(200).json(&c)
		check("busy", c.ContactView, string(r.body), detailed)
		if c.Counts != (contactCounts{Deals: 8, OpenDeals: 6, Invoices: 6, UnpaidInvoices: 3}) {
			t.Errorf("counts %+v", c.Counts)
		}
		r = g.call(t, key, "GET", "/api/contacts/"+idle+"?"+query, "").want(200).json(&c)
		check("idle", c.ContactView, strings.Replace(string(r.body), `"counts":{"deals":0,"open_deals":0,"invoices":0`, "", 1), [2][]string{})
	}
	// With a search, and behind a cursor.
	var p page[ContactView]
	g.call(t, key, "GET", "/api/contacts?q=busy&include=deals", "").want(200).json(&p)
	if got, _ := shownOf(p.Data[0]); !slices.Equal(got, listed[0]) {
		t.Errorf("search: got %v", got)
	}
	g.call(t, key, "GET", "/api/contacts?limit=1", "").want(200).json(&p)
	g.call(t, key, "GET", "/api/contacts?limit=1&include=invoices&cursor="+*p.NextCursor, "").want(200).json(&p)
	if _, got := shownOf(p.Data[0]); len(p.Data) != 1 || !slices.Equal(got, listed[1]) {
		t.Errorf("second page: got %v", got)
	}
	for _, path := range []string{"/api/contacts?include=notes", "/api/contacts?include=deals,x", "/api/contacts?include=deals&include=x", "/api/contacts/" + busy + "?include=x"} {
		g.call(t, key, "GET", path, "").problem(422, "validation_failed", "/query/include")
	}
	// What is shown beside the contact changes its tag, and nothing else of it does.
	detail := "/api/contacts/" + busy + "?include=deals"
	tag := g.call(t, key, "GET", detail, "").header.Get("ETag")
	g.call(t, key, "GET", detail, "", "If-None-Match", tag).want(304)
	g.call(t, key, "PATCH", "/api/deals/"+deals[0], `{"title":"other"}`).want(200)
	g.call(t, key, "GET", detail, "", "If-None-Match", tag).want(200)
	g.call(t, key, "PATCH", "/api/contacts/"+busy, `{"city":"Pune"}`, "If-Match", tag).want(200)
}
