package api

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

// named makes a contact with a name.
func (g *rig) named(t testing.TB, organizationID, name string) string {
	t.Helper()
	id := g.buyer(t, organizationID, nil, nil)
	g.set(t, `UPDATE contacts SET name = $2, company = NULL, email = NULL WHERE id = $1`, id, name)
	return id
}

// walked reads a list page by page.
func (g *rig) walked(t testing.TB, key, query string) (ids []string) {
	t.Helper()
	for cursor := ""; ; {
		var p page[InvoiceView]
		g.call(t, key, "GET", "/api/invoices?limit=3"+query+cursor, "").want(200).json(&p)
		for _, v := range p.Data {
			ids = append(ids, v.ID)
		}
		if !p.HasMore {
			return ids
		}
		cursor = "&cursor=" + *p.NextCursor
	}
}

func TestSearchInvoices(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, stranger := g.organization(t)
	asha, ravi, odd := g.named(t, org, "Asha Rao"), g.named(t, org, "RAVI Raina"), g.named(t, org, `50%_off\ ÜBER`)
	g.sent(t, stranger, g.named(t, other, "Asha Rao"))
	var ids []string // oldest first: sent to asha, draft to ravi, ...
	for range 4 {
		ids = append(ids, g.sent(t, key, asha).ID, g.draft(t, key, ravi).ID)
	}
	ids = append(ids, g.draft(t, key, odd).ID)
	all := []int{8, 7, 6, 5, 4, 3, 2, 1, 0}
	toAsha, toRavi := []int{6, 4, 2, 0}, []int{7, 5, 3, 1}
	check := func(query string, want []int) {
		t.Helper()
		var wanted []string
		for _, i := range want {
			wanted = append(wanted, ids[i])
		}
		if got := g.walked(t, key, query); !slices.Equal(got, wanted) {
			t.Errorf("%s: got %v, want %v", query, got, wanted)
		}
	}
	for q, want := range map[string][]int{
		"asha": toAsha, "SHA R": toAsha, "ra": {7, 6, 5, 4, 3, 2, 1, 0}, "ravi": toRavi, "a": {7, 6, 5, 4, 3, 2, 1, 0},
		"inv/26-27/0000": toAsha, "00003": {4}, " 00003 ": {4}, "26-27": toAsha, "nobody": nil, "00001 asha": {0}, "asha 00001": {0}, "00001\nasha": {0}, "rao asha": toAsha, "raina  ravi": toRavi, "asha raina": nil, "00001 ravi": nil, "o 02 inv a": {2}, "r vi": toRavi, "% über": {8}, "50% asha": nil,
		"%": {8}, "_": {8}, `\`: {8}, "50%": {8}, "5%o": nil, "über": {8}, "": all, "  ": all,
	} {
		check("&q="+url.QueryEscape(q), want)
	}
	check("&q=asha&status=draft", nil)
	check("&q=asha&status=sent", toAsha)
	check("&q=a&contact_id="+ravi, toRavi)
	// A sent invoice is found by whom it was for, and by who that is now.
	g.set(t, `UPDATE contacts SET name = 'Devi' WHERE id = $1`, asha)
	check("&q=devi", toAsha)
	check("&q=devi+asha", nil)
	check("&q=asha+00003", []int{4})
	check("&q=asha", toAsha)
	var p page[InvoiceView]
	g.call(t, key, "GET", "/api/invoices?limit=1&q=ra", "").want(200).json(&p)
	g.call(t, key, "GET", "/api/invoices?limit=1&q=rav&cursor="+*p.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, key, "GET", "/api/invoices?q=a+b+c+d+e+f+g+h+i+j+k", "").problem(422, "validation_failed", "/query/q")
	g.call(t, key, "GET", "/api/invoices?q="+strings.Repeat("x", 201), "").problem(422, "validation_failed", "/query/q")

	// The indexes answer what the walk does not come to: the same, wherever they begin.
	g.set(t, `INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total)
		SELECT $1, ('ffffffff-ffff-7fff-8000-' || lpad(to_hex(i), 12, '0'))::uuid, $2, 'x', '29', false, now(), now(), 0, 0, 0, 0, 0 FROM generate_series(1, 2100) i`, org, odd)
	check("&q=asha", toAsha)
	check("&q=ravi", toRavi)
	check("&q=raina+ravi", toRavi)
	check("&q=rao+asha+26-27", toAsha)
	check("&q=asha+raina", nil)
	check("&q=devi+asha", nil)
	check("&q=00003+asha", []int{4})
	check("&q=00003", []int{4})
	check("&q=26-27&status=sent", toAsha)
	check("&q=nobody", nil)
}

func TestInvoicesIncludeContacts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	first, second := g.named(t, org, "First"), g.named(t, org, "Second")
	for range 2 {
		g.draft(t, key, first)
		g.draft(t, key, second)
	}
	for _, query := range []string{"?include=contact", "?include=contact&q=s"} {
		var p page[InvoiceView]
		g.call(t, key, "GET", "/api/invoices"+query, "").want(200).json(&p)
		if len(p.Data) != 4 {
			t.Fatalf("%d invoices", len(p.Data))
		}
		for i, v := range p.Data {
			if want := []string{"Second", "First"}[i%2]; v.Contact == nil || v.Contact.ID != v.ContactID || v.Contact.Name != want {
				t.Errorf("%d: %+v", i, v.Contact)
			}
		}
	}
	var p page[InvoiceView]
	g.call(t, key, "GET", "/api/invoices?limit=3", "").want(200).json(&p)
	g.call(t, key, "GET", "/api/invoices?limit=3&include=contact&cursor="+*p.NextCursor, "").want(200).json(&p)
	if len(p.Data) != 1 || p.Data[0].Contact == nil {
		t.Errorf("read on: %+v", p.Data)
	}
	if r := g.call(t, key, "GET", "/api/invoices", "").want(200); strings.Contains(string(r.body), `"contact":`) {
		t.Errorf("%s", r.body)
	}
	g.call(t, key, "GET", "/api/invoices?include=deals", "").problem(422, "validation_failed", "/query/include")
	g.call(t, key, "GET", "/api/invoices?include=contact&contact_id="+outbox.NewID(), "").want(200)
}
