package api

import (
	"os/exec"
	"strings"
	"testing"
)

// pdfText is what another program reads in the answer.
func (r *reply) pdfText(t testing.TB) string {
	t.Helper()
	c := exec.Command("pdftotext", "-layout", "-", "-")
	c.Stdin = strings.NewReader(string(r.want(200).body))
	out, err := c.Output()
	if err != nil {
		t.Fatalf("pdftotext (of poppler-utils): %v", err)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestInvoicePDF(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, "27AAPFU0939F1ZV", "Maharashtra")
	g.call(t, key, "PATCH", "/api/organization", `{"gstin":"29ABCDE1234F1ZW","email":"us@acme.example","address":"1, MG Road\nबेंगलुरु"}`).want(200)
	g.call(t, key, "PATCH", "/api/contacts/"+contact, `{"address":"7, Laxmi Road"}`).want(200)
	v := g.call(t, key, "POST", "/api/invoices", `{"contact_id":"`+contact+`","items":[{"description":"रेशम","hsn_sac":"5007",
		"quantity":"2.5","unit":"MTR","unit_price":400000,"gst_rate":5}]}`).want(201).invoice()
	path := "/api/invoices/" + v.ID + "/pdf"
	reads := func(headers ...string) *reply { return g.call(t, key, "GET", path, "", headers...) }
	says := func(r *reply, texts ...string) {
		t.Helper()
		got := r.pdfText(t)
		for _, want := range texts {
			if !strings.Contains(got, want) {
				t.Errorf("%q is not there: %s", want, got)
			}
		}
	}

	draft := reads()
	says(draft, "DRAFT", "TAX INVOICE", "Acme", "GSTIN: 29ABCDE1234F1ZW", "1, MG Road", "बेंगलुरु", "us@acme.example", "Rao Traders",
		"Attention: Asha Rao", "7, Laxmi Road", "Pune", "GSTIN: 27AAPFU0939F1ZV", "Maharashtra (27)", "रेशम", "5007", "2.5 MTR",
		"4,000.00 10,000.00 5% 500.00 10,500.00", "Rupees Ten Thousand Five Hundred Only")
	for name, want := range map[string]string{"Content-Type": "application/pdf", "X-Content-Type-Options": "nosniff", "Cache-Control": revalidate,
		"Content-Disposition": `attachment; filename="draft-invoice.pdf"; filename*=UTF-8''draft-invoice.pdf`} {
		if got := draft.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if again := reads(); string(again.body) != string(draft.body) || again.header.Get("ETag") != draft.header.Get("ETag") {
		t.Error("read again, it is another file")
	}

	// A draft follows what it says.
	tag := draft.header.Get("ETag")
	unchanged := func() {
		t.Helper()
		if r := reads("If-None-Match", tag).want(304); len(r.body) != 0 || r.header.Get("ETag") != tag {
			t.Errorf("ETag %s, body %q", r.header.Get("ETag"), r.body)
		}
	}
	unchanged()
	for what, body := range map[string]string{"/api/organization": `{"name":"Acme Silks"}`, "/api/contacts/" + contact: `{"address":"8, Laxmi Road"}`,
		"/api/invoices/" + v.ID: `{"notes":"Thanks"}`} {
		g.call(t, key, "PATCH", what, body).want(200)
		r := reads("If-None-Match", tag).want(200)
		if tag = r.header.Get("ETag"); string(r.body) == string(draft.body) {
			t.Errorf("after a change of %s it is the same file", what)
		}
		draft = r
		unchanged()
	}
	says(draft, "Acme Silks", "8, Laxmi Road", "Thanks")

	// What was sent stays as it was sent.
	g.act(t, key, v.ID, "send", "").want(200)
	sent := reads("If-None-Match", tag)
	says(sent, "INV/", "ORIGINAL FOR RECIPIENT", "Acme Silks", "8, Laxmi Road")
	if got := sent.header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="INV-`) || !strings.Contains(got, `-00001.pdf"`) {
		t.Errorf("Content-Disposition: %s", got)
	}
	tag = sent.header.Get("ETag")
	g.call(t, key, "PATCH", "/api/organization", `{"name":"Later","address":null}`).want(200)
	g.call(t, key, "PATCH", "/api/contacts/"+contact, `{"name":"Later","address":null}`).want(200)
	unchanged()
	if r := reads().want(200); string(r.body) != string(sent.body) {
		t.Error("it changes with its parties after it was sent")
	}
	g.act(t, key, v.ID, "pay", `{"amount":50000}`).want(200)
	says(reads("If-None-Match", tag), "Amount paid ₹500.00", "Amount due ₹10,000.00")

	other := g.sent(t, key, contact)
	g.act(t, key, other.ID, "cancel", "").want(200)
	says(g.call(t, key, "GET", "/api/invoices/"+other.ID+"/pdf", ""), "CANCELLED", *other.Number)
}

// TestOldSnapshot: an invoice from before there were addresses is drawn without.
func TestOldSnapshot(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, "Karnataka")
	g.call(t, key, "PATCH", "/api/organization", `{"address":"Nowhere"}`).want(200)
	id := g.draftRow(t, org, contact)
	g.set(t, `UPDATE invoices SET status = 'sent', number = 'OLD/1', financial_year = 2026, sequence = 1, sent_at = now(),
		supplier = '{"name":"Acme of old","gstin":null,"state":"Karnataka","state_code":"29"}',
		customer = '{"name":"Asha","company":null,"email":null,"gstin":null,"state":null,"city":null}' WHERE id = $1`, id)
	text := g.call(t, key, "GET", "/api/invoices/"+id+"/pdf", "").pdfText(t)
	if !strings.Contains(text, "Acme of old") || strings.Contains(text, "Nowhere") || strings.Contains(text, "TAX INVOICE") {
		t.Error(text)
	}
}

func TestInvoicePDFIsRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.draft(t, key, g.buyer(t, org, nil, nil)).ID
	g.call(t, g.key(t, key, "jobs"), "GET", "/api/invoices/"+id+"/pdf", "").problem(403, "forbidden")
	g.call(t, "", "GET", "/api/invoices/"+id+"/pdf", "").problem(401, "unauthorized")
	g.call(t, key, "GET", "/api/invoices/"+org+"/pdf", "").problem(404, "not_found")
	g.call(t, key, "GET", "/api/invoices/x/pdf", "").problem(404, "not_found")
	g.call(t, key, "POST", "/api/invoices/"+id+"/pdf", "").problem(405, "method_not_allowed")
}
