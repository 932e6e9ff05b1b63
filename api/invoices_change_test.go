package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// act posts to an invoice.
func (g *rig) act(t testing.TB, key, id, verb, body string, headers ...string) *reply {
	t.Helper()
	return g.call(t, key, "POST", "/api/invoices/"+id+"/"+verb, body, headers...)
}

// sent makes an invoice of 1180 rupees that is due.
func (g *rig) sent(t testing.TB, key, contact string) invoiceDetail {
	t.Helper()
	return g.act(t, key, g.draft(t, key, contact).ID, "send", "").want(200).invoice()
}

func (g *rig) patch(t testing.TB, key, id, body string, headers ...string) *reply {
	t.Helper()
	return g.call(t, key, "PATCH", "/api/invoices/"+id, body, headers...)
}

// story is what happened to an invoice, with the version that each fact says.
func (g *rig) story(t testing.TB, id string) string {
	t.Helper()
	var told []string
	for _, f := range g.facts(t, id) {
		var v struct {
			Version int64
			Changed []string
		}
		if err := json.Unmarshal([]byte(f.data), &v); err != nil {
			t.Fatal(err)
		}
		told = append(told, strings.TrimPrefix(f.typ, "invoice.")+fmt.Sprint(v.Version)+strings.Join(v.Changed, ","))
	}
	return strings.Join(told, " ")
}

func TestPatchDraft(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	home, away := g.buyer(t, org, nil, "KA"), g.buyer(t, org, nil, "KL")
	v := g.draft(t, key, home)
	for _, same := range []string{`{}`, `{"notes":null}`, `{"contact_id":"` + home + `"}`, `{"place_of_supply":null}`,
		`{"items":[` + aLine + `]}`, `{"issue_date":"` + v.IssueDate + `","due_date":null}`} {
		if r := g.patch(t, key, v.ID, same).want(200); r.header.Get("ETag") != `"1"` {
			t.Errorf("%s changed something: %s", same, r.body)
		}
	}
	// Another contact takes the place of supply and the taxes with it.
	r := g.patch(t, key, v.ID, `{"contact_id":"`+away+`"}`, "If-Match", `"1"`).want(200)
	if v := r.invoice(); !v.InterState || v.PlaceOfSupply != "Kerala" || v.IGST != 18000 || v.CGST != 0 || v.Total != 118000 || v.Items[0].IGST != 18000 {
		t.Errorf("got %s", r.body)
	}
	g.patch(t, key, v.ID, `{"notes":"late"}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	if v := g.patch(t, key, v.ID, `{"place_of_supply":"29"}`).want(200).invoice(); v.InterState || v.PlaceOfSupply != "29" || v.SGST != 9000 || v.ContactID != away {
		t.Errorf("got %+v", v)
	}
	if v := g.patch(t, key, v.ID, `{"place_of_supply":null}`).want(200).invoice(); !v.InterState || v.PlaceOfSupply != "Kerala" {
		t.Errorf("got %+v", v)
	}
	items := `{"items":[{"description":"a","quantity":"1","unit_price":100,"gst_rate":5},{"description":"b","quantity":"1","unit_price":200,"gst_rate":0}]}`
	if v := g.patch(t, key, v.ID, items).want(200).invoice(); len(v.Items) != 2 || v.Items[1].Description != "b" || v.Subtotal != 300 || v.IGST != 5 || v.Total != 305 || v.AmountDue != 305 {
		t.Errorf("got %+v", v)
	}
	if v := g.patch(t, key, v.ID, `{"issue_date":"2026-01-31","due_date":null,"notes":"n"}`).want(200).invoice(); v.DueDate != "2026-03-02" || *v.Notes != "n" {
		t.Errorf("got %+v", v)
	}
	g.patch(t, key, v.ID, `{"issue_date":"2026-04-01"}`).problem(422, "validation_failed", "/due_date")
	for body, pointer := range map[string]string{
		`{"contact_id":null}`: "/contact_id", `{"items":null}`: "/items", `{"items":[]}`: "/items", `{"status":"sent"}`: "/status",
		`{"items":[{"description":"a","quantity":"0","unit_price":100,"gst_rate":5}]}`: "/items/0/quantity",
		`{"contact_id":"0197aaaa-0000-7000-8000-00000000000a"}`:                        "/contact_id",
	} {
		g.patch(t, key, v.ID, body).problem(422, "validation_failed", pointer)
	}
	if got, want := g.story(t, v.ID), "created1 updated2contact_id,place_of_supply updated3place_of_supply updated4place_of_supply updated5items updated6notes,issue_date,due_date"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPatchSent(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	v := g.sent(t, key, contact)
	if v := g.patch(t, key, v.ID, `{"notes":"n","due_date":"2099-01-01","items":[`+aLine+`],"contact_id":"`+contact+`"}`).want(200).invoice(); *v.Notes != "n" || v.DueDate != "2099-01-01" {
		t.Errorf("got %+v", v)
	}
	for field, body := range map[string]string{
		"items":           `{"notes":"x","items":[{"description":"a","quantity":"1","unit_price":100,"gst_rate":5}]}`,
		"place_of_supply": `{"place_of_supply":"KL"}`,
		"issue_date":      `{"issue_date":"2026-01-01"}`,
		"contact_id":      `{"contact_id":"` + g.buyer(t, org, nil, nil) + `"}`,
	} {
		p := g.patch(t, key, v.ID, body).problem(409, "invoice_fixed")
		if !strings.Contains(p.Detail, field+" can't change when an invoice is sent") || strings.Contains(p.Detail, "notes,") {
			t.Errorf("%s: %s", field, p.Detail)
		}
	}
	g.patch(t, key, v.ID, `{"due_date":"2017-01-01"}`).problem(422, "validation_failed", "/due_date")

	// An overdue invoice whose due date is put off is sent again; notes alone leave it overdue.
	day := today(t, g, org)
	yesterday := day.AddDate(0, 0, -1).Format(time.DateOnly)
	g.set(t, `UPDATE invoices SET status = 'overdue' WHERE id = $1`, v.ID)
	if v := g.patch(t, key, v.ID, `{"notes":"m"}`).want(200).invoice(); v.Status != "overdue" {
		t.Errorf("got %+v", v)
	}
	if v := g.patch(t, key, v.ID, `{"due_date":"`+day.Format(time.DateOnly)+`"}`).want(200).invoice(); v.Status != "sent" {
		t.Errorf("got %+v", v)
	}
	late := g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, `,"issue_date":"2026-01-01","due_date":"2026-01-02"`)).want(201).invoice()
	g.act(t, key, late.ID, "send", "").want(200)
	g.set(t, `UPDATE invoices SET status = 'overdue' WHERE id = $1`, late.ID)
	if v := g.patch(t, key, late.ID, `{"due_date":"`+yesterday+`"}`).want(200).invoice(); v.Status != "overdue" || v.DueDate != yesterday {
		t.Errorf("got %+v", v)
	}
	g.patch(t, key, late.ID, `{"items":[{"description":"a","quantity":"1","unit_price":100,"gst_rate":5}]}`).problem(409, "invoice_fixed")
	if got, want := g.story(t, v.ID), "created1 sent2 updated3notes,due_date updated4notes updated5due_date,status"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	paid := g.sent(t, key, contact)
	g.act(t, key, paid.ID, "pay", `{"amount":118000}`).want(200)
	gone := g.draft(t, key, contact)
	g.act(t, key, gone.ID, "cancel", "").want(200)
	for _, id := range []string{paid.ID, gone.ID} {
		p := g.patch(t, key, id, `{"notes":"x"}`).problem(409, "invoice_fixed")
		if !strings.Contains(p.Detail, "nothing can") {
			t.Errorf("%s", p.Detail)
		}
		g.patch(t, key, id, `{}`).want(200)
	}
}

func TestDeleteInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	v := g.draft(t, key, contact)
	remove := func(id string, headers ...string) *reply {
		return g.call(t, key, "DELETE", "/api/invoices/"+id, "", headers...)
	}
	remove(v.ID, "If-Match", `"7"`).problem(412, "precondition_failed")
	remove(v.ID, "If-Match", `"1"`).want(204)
	remove(v.ID).problem(404, "not_found")
	g.call(t, key, "GET", "/api/invoices/"+v.ID, "").problem(404, "not_found")
	if got := g.story(t, v.ID); got != "created1 deleted2" {
		t.Errorf("story %s", got)
	}
	sent := g.sent(t, key, contact)
	if p := remove(sent.ID).problem(409, "invoice_fixed"); !strings.Contains(p.Detail, "cancel it instead") {
		t.Errorf("%s", p.Detail)
	}
	g.act(t, key, sent.ID, "cancel", "").want(200)
	remove(sent.ID).problem(409, "invoice_fixed")
	paid := g.sent(t, key, contact)
	g.act(t, key, paid.ID, "pay", `{"amount":1}`).want(200)
	if p := remove(paid.ID).problem(409, "invoice_fixed"); strings.Contains(p.Detail, "cancel it") {
		t.Errorf("advises what is refused: %s", p.Detail)
	}
	drafted := g.draft(t, key, contact)
	g.act(t, key, drafted.ID, "cancel", "").want(200)
	remove(drafted.ID).problem(409, "invoice_fixed")
	var n int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM invoice_items WHERE invoice_id = $1`, v.ID).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d items left, %v", n, err)
	}
}

// Contacts are deleted while invoices come to them and leave them: somebody is refused, nobody is stuck, and
// no invoice is left without its contact.
func TestInvoicesAndContactsAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	refusals := map[string][]int{"PATCH": {200, 404, 422}, "DELETE": {204, 404, 409}, "POST": {200, 201, 404, 409, 422}}
	for range 25 {
		from, to := g.buyer(t, org, nil, nil), g.buyer(t, org, nil, nil)
		v := g.draft(t, key, from)
		path := "/api/invoices/" + v.ID
		var wg sync.WaitGroup
		for _, ask := range [][3]string{
			{"PATCH", path, `{"contact_id":"` + to + `"}`}, {"PATCH", path, `{"contact_id":"` + from + `","notes":"x"}`},
			{"DELETE", "/api/contacts/" + from, ""}, {"DELETE", "/api/contacts/" + to, ""}, {"DELETE", path, ""},
			{"POST", path + "/send", ""}, {"POST", "/api/invoices", invoiceBody(to, "")},
		} {
			wg.Go(func() {
				r := g.call(t, key, ask[0], ask[1], ask[2])
				if allowed := refusals[ask[0]]; !slices.Contains(allowed, r.status) && !strings.Contains(string(r.body), `"invoice_fixed"`) {
					t.Errorf("%s: %d %s", r.what, r.status, r.body)
				}
			})
		}
		wg.Wait()
	}
	var lost int
	err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM invoices i WHERE NOT EXISTS (
		SELECT FROM contacts c WHERE c.organization_id = i.organization_id AND c.id = i.contact_id)`).Scan(&lost)
	if err != nil || lost != 0 {
		t.Errorf("%d invoices without a contact, %v", lost, err)
	}
}
