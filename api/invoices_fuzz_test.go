package api

import "testing"

// Whatever is asked for, an answer is no fault of ours, and what is taken adds up.
func FuzzInvoiceInput(f *testing.F) {
	g := newRig(f)
	org, key := g.organization(f)
	const home, away = "0197aaaa-0000-7000-8000-000000000001", "0197aaaa-0000-7000-8000-000000000002"
	for id, state := range map[string]string{home: "KA", away: "27"} {
		g.set(f, `INSERT INTO contacts (organization_id, id, name, state) VALUES ($1, $2, 'x', $3)`, org, id, state)
	}
	for _, body := range []string{
		invoiceBody(home, ""), invoiceBody(away, `,"place_of_supply":"Goa","issue_date":"2026-01-31","due_date":null,"notes":"ü"`), invoiceBody("x", ""),
		`{"contact_id":"` + away + `","items":[{"description":"x","hsn_sac":"998314","quantity":"99999999999.999","unit_price":9007199254740991,"gst_rate":0.25}]}`,
		`{"contact_id":"` + home + `","items":[{"description":"x","hsn_sac":null,"quantity":"0.001","unit_price":1e3,"gst_rate":18.00}]}`,
		`{"contact_id":"` + home + `","items":[{"description":"x","quantity":"1","unit_price":1.0,"gst_rate":1.8e1}]}`,
		`{"contact_id":"` + home + `","items":[{"description":"x","quantity":"1","unit_price":9223372036854775808,"gst_rate":1e400}]}`,
		`{"contact_id":"urn:uuid:` + home + `","items":[` + aLine + `,null,1,[],{}]}`, `{}`, `null`, `[]`, `0`, ``, `{"items":{}}`,
		`{"contact_id":"` + home + `","contact_id":"` + away + `","items":[` + aLine + `],"items":[` + aLine + `]}`,
		invoiceBody(home, `,"issue_date":"0000-01-01"`), invoiceBody(home, `,"due_date":"9999-12-31"`), invoiceBody(home, `,"notes":"\ud800"`),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := g.call(t, key, "POST", "/api/invoices", body)
		switch {
		case r.status == 201:
			checkSums(t, r.invoice())
		case r.status < 400 || r.status >= 500:
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	})
}
