package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestSendInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, "27AAPFU0939F1ZV", "Maharashtra")
	v := g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, `,"issue_date":"2026-03-31","place_of_supply":"MH"`)).want(201).invoice()
	next := g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, `,"issue_date":"2026-04-01"`)).want(201).invoice()
	g.act(t, key, v.ID, "send", "", "If-Match", `"2"`).problem(412, "precondition_failed")

	// What is sent is what organization and contact are then.
	g.set(t, `UPDATE organizations SET state = 'mh', name = 'Acme Pvt', email = 'us@acme.example', address = 'Here' WHERE id = $1`, org)
	g.set(t, `UPDATE contacts SET name = 'Asha R.', address = 'There' WHERE id = $1`, contact)
	r := g.act(t, key, v.ID, "send", "").want(200)
	s := r.invoice()
	if s.Status != "sent" || *s.Number != "INV/25-26/00001" || s.InterState || s.CGST != 9000 || s.Items[0].SGST != 9000 || s.IGST != 0 || s.SentAt == nil || r.header.Get("ETag") != `"2"` {
		t.Errorf("got %s", r.body)
	}
	company, email, gstin, state, code, city, address := "Rao Traders", "asha@example.in", "27AAPFU0939F1ZV", "Maharashtra", "27", "Pune", "There"
	wantCustomer, _ := json.Marshal(customerView{Name: "Asha R.", Company: &company, Email: &email, GSTIN: &gstin, State: &state, StateCode: &code, City: &city, Address: &address})
	gotCustomer, _ := json.Marshal(s.Customer)
	ours, here := "us@acme.example", "Here"
	wantSupplier, _ := json.Marshal(supplierView{Name: "Acme Pvt", State: "Maharashtra", StateCode: "27", Email: &ours, Address: &here})
	gotSupplier, _ := json.Marshal(s.Supplier)
	if string(gotCustomer) != string(wantCustomer) || string(gotSupplier) != string(wantSupplier) {
		t.Errorf("parties %s, %s", gotCustomer, gotSupplier)
	}
	if read := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200); strings.TrimSpace(string(read.body)) != strings.TrimSpace(string(r.body)) {
		t.Errorf("read %s\nsent %s", read.body, r.body)
	}
	g.set(t, `UPDATE contacts SET name = 'Later' WHERE id = $1`, contact)
	if v := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200).invoice(); v.Customer.Name != "Asha R." {
		t.Errorf("customer %+v", v.Customer)
	}
	if got := g.story(t, v.ID); got != "created1 sent2" {
		t.Errorf("story %s", got)
	}
	p := g.act(t, key, v.ID, "send", "").problem(409, "invalid_transition")
	if p.Detail != "an invoice does not go from sent to sent; from sent it goes to paid, overdue, cancelled" {
		t.Errorf("%s", p.Detail)
	}
	if v := g.act(t, key, next.ID, "send", "").want(200).invoice(); *v.Number != "INV/26-27/00001" {
		t.Errorf("number %s", *v.Number)
	}
	free := g.call(t, key, "POST", "/api/invoices", `{"contact_id":"`+contact+`","items":[{"description":"x","quantity":"1","unit_price":0,"gst_rate":18}]}`).want(201).invoice()
	g.act(t, key, free.ID, "send", "").problem(409, "invoice_empty")
	bare := g.draft(t, key, contact)
	g.set(t, `DELETE FROM invoice_items WHERE invoice_id = $1`, bare.ID)
	g.act(t, key, bare.ID, "send", "").problem(409, "invoice_empty")
	g.set(t, `UPDATE organizations SET state = 'nowhere' WHERE id = $1`, org)
	lost := g.draftRow(t, org, contact)
	g.act(t, key, lost, "send", "").problem(409, "seller_state_unknown")
	var last int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT last FROM invoice_counters WHERE organization_id = $1 AND financial_year = 2025`, org).Scan(&last); err != nil || last != 1 {
		t.Errorf("the counter is at %d, %v", last, err)
	}
}

// draftRow makes a draft behind the API's back.
func (g *rig) draftRow(t testing.TB, org, contact string) (id string) {
	t.Helper()
	err := g.system.Pool().QueryRow(t.Context(), `
		WITH made AS (
			INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total)
			VALUES ($1, gen_random_uuid(), $2, 'KA', '29', false, '2026-11-01', '2026-12-01', 100, 9, 9, 0, 118) RETURNING *
		)
		INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total)
		SELECT organization_id, id, 1, 'x', 1, 100, 1800, 100, 9, 9, 0, 118 FROM made RETURNING invoice_id::text`, org, contact).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestCancelInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, nil)
	draft, sent, overdue := g.draft(t, key, contact), g.sent(t, key, contact), g.sent(t, key, contact)
	g.set(t, `UPDATE invoices SET status = 'overdue' WHERE id = $1`, overdue.ID)
	for _, v := range []invoiceDetail{draft, sent, overdue} {
		tag := versionTag(v.Version)
		g.act(t, key, v.ID, "cancel", "", "If-Match", `"99"`).problem(412, "precondition_failed")
		c := g.act(t, key, v.ID, "cancel", "", "If-Match", tag).want(200).invoice()
		if c.Status != "cancelled" || c.CancelledAt == nil || c.AmountDue != 0 || c.Total != 118000 || !equal(c.Number, v.Number) || c.Version != v.Version+1 {
			t.Errorf("got %+v", c)
		}
		p := g.act(t, key, v.ID, "cancel", "").problem(409, "invalid_transition")
		if p.Detail != "an invoice does not go from cancelled to cancelled; from cancelled it goes nowhere else" {
			t.Errorf("%s", p.Detail)
		}
		g.act(t, key, v.ID, "send", "").problem(409, "invalid_transition")
		if p := g.act(t, key, v.ID, "pay", `{"amount":1}`).problem(409, "invalid_transition"); p.Detail != notDue["cancelled"] {
			t.Errorf("%s", p.Detail)
		}
	}
	// What is cancelled asks for nothing, wherever it is shown.
	read := g.call(t, key, "GET", "/api/invoices/"+sent.ID, "").want(200).invoice()
	var list, found page[InvoiceView]
	g.call(t, key, "GET", "/api/invoices", "").want(200).json(&list)
	g.call(t, key, "GET", "/api/invoices?q=asha", "").want(200).json(&found)
	var of contactDetailView
	g.call(t, key, "GET", "/api/contacts/"+contact+"?include=invoices", "").want(200).json(&of)
	shown := slices.Concat([]InvoiceView{read.InvoiceView}, list.Data, found.Data, of.Invoices)
	if len(shown) != 1+3*3 {
		t.Errorf("%d invoices are shown", len(shown))
	}
	for _, v := range shown {
		if v.AmountDue != 0 || v.Total != 118000 {
			t.Errorf("%d of %d is due: %+v", v.AmountDue, v.Total, v)
		}
	}
	if got := g.story(t, draft.ID); got != "created1 cancelled2" {
		t.Errorf("story %s", got)
	}
}
