package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
)

// buyer makes a contact of an organization with what is given of GSTIN and state.
func (g *rig) buyer(t testing.TB, organizationID string, gstin, state any) string {
	t.Helper()
	id := outbox.NewID()
	_, err := g.system.Pool().Exec(t.Context(),
		`INSERT INTO contacts (organization_id, id, name, email, company, gstin, state, city) VALUES ($1, $2, 'Asha Rao', 'asha@example.in', 'Rao Traders', $3, $4, 'Pune')`,
		organizationID, id, gstin, state)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *reply) invoice() invoiceDetail {
	r.t.Helper()
	var v invoiceDetail
	if err := json.Unmarshal(r.body, &v); err != nil {
		r.t.Fatalf("%s: %s: %v", r.what, r.body, err)
	}
	return v
}

const aLine = `{"description":" Work ","quantity":"2","unit_price":50000,"gst_rate":18}`

func invoiceBody(contact, more string) string {
	return `{"contact_id":"` + contact + `"` + more + `,"items":[` + aLine + `]}`
}

// draft makes a draft of 2 x 500 rupees at 18 %.
func (g *rig) draft(t testing.TB, key, contact string) invoiceDetail {
	t.Helper()
	return g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, "")).want(201).invoice()
}

func (g *rig) set(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := g.system.Pool().Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func today(t testing.TB, g *rig, organizationID string) time.Time {
	t.Helper()
	var day time.Time
	err := g.system.Pool().QueryRow(t.Context(), `SELECT (now() AT TIME ZONE timezone)::date FROM organizations WHERE id = $1`, organizationID).Scan(&day)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

func TestCreateInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	contact := g.buyer(t, org, nil, "KA")
	day := today(t, g, org)
	r := g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, `,"notes":"n"`)).want(201)
	v := r.invoice()
	want := InvoiceView{
		ID: v.ID, ContactID: contact, Status: "draft", PlaceOfSupply: "Karnataka", PlaceOfSupplyCode: "29",
		IssueDate: day.Format(time.DateOnly), DueDate: day.AddDate(0, 0, 30).Format(time.DateOnly), Currency: "INR",
		Subtotal: 100000, CGST: 9000, SGST: 9000, Total: 118000, AmountDue: 118000, Version: 1,
		Notes: v.Notes, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	if v.InvoiceView != want || v.Notes == nil || *v.Notes != "n" || v.CreatedAt.IsZero() {
		t.Errorf("got  %+v\nwant %+v", v.InvoiceView, want)
	}
	item := invoiceItemView{Description: "Work", Quantity: "2", UnitPrice: 50000, GSTRate: "18", Amount: 100000, CGST: 9000, SGST: 9000, Total: 118000}
	if len(v.Items) != 1 || v.Items[0] != item || len(v.Payments) != 0 {
		t.Errorf("items %+v, payments %v", v.Items, v.Payments)
	}
	if r.header.Get("Location") != "/api/invoices/"+v.ID || r.header.Get("ETag") != `"1"` {
		t.Errorf("headers %v", r.header)
	}
	if f := g.facts(t, v.ID); len(f) != 1 || f[0].typ != "invoice.created" || !strings.Contains(f[0].data, `"total":118000`) {
		t.Errorf("facts %+v", f)
	}
	read := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200)
	if string(read.body) != string(r.body)+"\n" && string(read.body) != string(r.body) {
		t.Errorf("read %s\nmade %s", read.body, r.body)
	}
	g.call(t, key, "GET", "/api/invoices/"+v.ID, "", "If-None-Match", read.header.Get("ETag")).want(304)
	if !strings.Contains(string(r.body), `"number":null`) || !strings.Contains(string(r.body), `"gst_rate":18,`) {
		t.Errorf("%s", r.body)
	}
}

func TestPlaceOfSupply(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t) // of Karnataka
	const maharashtra = "27AAPFU0939F1ZV"
	const online = "9917USA29005OS9" // the centre's, for a provider abroad
	for _, c := range []struct {
		gstin, state any
		given        string
		place, code  string
		inter        bool
	}{
		{nil, nil, "", "Karnataka", "29", false},
		{nil, "tamil nadu", "", "Tamil Nadu", "33", true},
		{maharashtra, "Karnataka", "", "Maharashtra", "27", true},
		{maharashtra, "nowhere", "", "Maharashtra", "27", true},
		{maharashtra, nil, " ka ", "ka", "29", false},
		{nil, "nowhere", "29", "29", "29", false},
		{online, "KA", "", "Karnataka", "29", false},
		{online, nil, "MH", "MH", "27", true},
	} {
		more := ""
		if c.given != "" {
			more = `,"place_of_supply":"` + c.given + `"`
		}
		v := g.call(t, key, "POST", "/api/invoices", invoiceBody(g.buyer(t, org, c.gstin, c.state), more)).want(201).invoice()
		if v.PlaceOfSupply != c.place || v.PlaceOfSupplyCode != c.code || v.InterState != c.inter {
			t.Errorf("%+v: got %q %s %v", c, v.PlaceOfSupply, v.PlaceOfSupplyCode, v.InterState)
		}
		if taxes := [3]int64{v.CGST, v.SGST, v.IGST}; c.inter && taxes != [3]int64{0, 0, 18000} || !c.inter && taxes != [3]int64{9000, 9000, 0} {
			t.Errorf("%+v: taxes %v", c, taxes)
		}
	}
	p := g.call(t, key, "POST", "/api/invoices", invoiceBody(g.buyer(t, org, nil, "nowhere"), "")).problem(422, "validation_failed", "/place_of_supply")
	if !strings.HasPrefix(p.Errors[0].Detail, "is required: ") {
		t.Errorf("detail %q", p.Errors[0].Detail)
	}
	g.call(t, key, "POST", "/api/invoices", invoiceBody(g.buyer(t, org, online, nil), "")).problem(422, "validation_failed", "/place_of_supply")
	g.call(t, key, "POST", "/api/invoices", invoiceBody(g.buyer(t, org, nil, nil), `,"place_of_supply":"x"`)).problem(422, "validation_failed", "/place_of_supply")
	g.set(t, `UPDATE organizations SET state = 'nowhere' WHERE id = $1`, org)
	g.call(t, key, "POST", "/api/invoices", invoiceBody(g.buyer(t, org, nil, "KA"), "")).problem(409, "seller_state_unknown")
}

// Worked out by hand, paise by paise.
func TestTaxOfInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	home, away := g.buyer(t, org, nil, "KA"), g.buyer(t, org, nil, "KL")
	for _, c := range []struct {
		contact                           string
		quantity                          string
		price                             int64
		rate                              string
		amount, cgst, sgst, igst, overall int64
	}{
		{home, "1", 10000, "18", 10000, 900, 900, 0, 11800},
		{away, "1", 10000, "18", 10000, 0, 0, 1800, 11800},
		{home, "1", 101, "5", 101, 3, 3, 0, 107},                      // 2.525 each
		{away, "1", 101, "5", 101, 0, 0, 5, 106},                      // 5.05
		{home, "1", 100, "5", 100, 3, 3, 0, 106},                      // 2.5 each goes up
		{away, "1", 10, "5", 10, 0, 0, 1, 11},                         // 0.5 goes up
		{home, "1.5", 333, "0", 500, 0, 0, 0, 500},                    // 499.5 goes up
		{home, "0.001", 499, "18", 0, 0, 0, 0, 0},                     // 0.499 goes down
		{away, "3", 1234567, "0.25", 3703701, 0, 0, 9259, 3712960},    // 9259.2525
		{home, "3", 1234567, "0.25", 3703701, 4630, 4630, 0, 3712961}, // 4629.62625
		{home, "2.125", 800, "12", 1700, 102, 102, 0, 1904},
		{away, "1", 9007199254740991, "0", 9007199254740991, 0, 0, 0, 9007199254740991},
	} {
		body := fmt.Sprintf(`{"contact_id":"%s","items":[{"description":"x","hsn_sac":"9983","quantity":"%s","unit_price":%d,"gst_rate":%s}]}`,
			c.contact, c.quantity, c.price, c.rate)
		v := g.call(t, key, "POST", "/api/invoices", body).want(201).invoice()
		want := invoiceItemView{Description: "x", HSNSAC: v.Items[0].HSNSAC, Quantity: c.quantity, UnitPrice: c.price, GSTRate: decimal(c.rate),
			Amount: c.amount, CGST: c.cgst, SGST: c.sgst, IGST: c.igst, Total: c.overall}
		if v.Items[0] != want || *want.HSNSAC != "9983" {
			t.Errorf("got  %+v\nwant %+v", v.Items[0], want)
		}
		if v.Subtotal != c.amount || v.CGST != c.cgst || v.SGST != c.sgst || v.IGST != c.igst || v.Total != c.overall || v.AmountDue != c.overall {
			t.Errorf("%+v: sums %+v", c, v.InvoiceView)
		}
	}
	// Tax is rounded by the line: three times 2.5 paise are 9, not 8.
	line := `{"description":"x","quantity":"1","unit_price":100,"gst_rate":5}`
	v := g.call(t, key, "POST", "/api/invoices", `{"contact_id":"`+home+`","items":[`+line+`,`+line+`,`+line+`]}`).want(201).invoice()
	if v.Subtotal != 300 || v.CGST != 9 || v.SGST != 9 || v.Total != 318 {
		t.Errorf("three lines: %+v", v.InvoiceView)
	}
}

func TestInvoiceFaults(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, _ := g.organization(t)
	contact, foreign := g.buyer(t, org, nil, nil), g.buyer(t, other, nil, nil)
	with := func(field, value string) string {
		fields := map[string]string{"description": `"x"`, "quantity": `"1"`, "unit_price": `1`, "gst_rate": `18`}
		fields[field] = value
		var list []string
		for name, v := range fields {
			if v != "" {
				list = append(list, `"`+name+`":`+v)
			}
		}
		return `{"contact_id":"` + contact + `","items":[` + aLine + `,{` + strings.Join(list, ",") + `}]}`
	}
	most := `{"description":"x","quantity":"1","unit_price":9007199254740991,"gst_rate":0}`
	for body, pointers := range map[string]string{
		`{}`:                                               "/contact_id /items",
		`{"contact_id":"x","items":[]}`:                    "/contact_id /items",
		invoiceBody(foreign, ""):                           "/contact_id",
		invoiceBody(outbox.NewID(), ""):                    "/contact_id",
		invoiceBody(contact, `,"colour":1`):                "/colour",
		invoiceBody(contact, `,"number":"1"`):              "/number",
		invoiceBody(contact, `,"issue_date":"2026-02-30"`): "/issue_date",
		invoiceBody(contact, `,"issue_date":"1926-04-01"`): "/issue_date",
		invoiceBody(contact, `,"issue_date":"2126-04-01"`): "/issue_date",
		invoiceBody(contact, `,"issue_date":"2026-04-02","due_date":"2026-04-01"`): "/due_date",
		invoiceBody(contact, `,"due_date":"tomorrow"`):                             "/due_date",
		with("quantity", `"0"`):                       "/items/1/quantity",
		with("quantity", `"1.0001"`):                  "/items/1/quantity",
		with("quantity", `"-1"`):                      "/items/1/quantity",
		with("quantity", `1`):                         "/items/1/quantity",
		with("quantity", ``):                          "/items/1/quantity",
		with("unit_price", `-1`):                      "/items/1/unit_price",
		with("unit_price", `1.5`):                     "/items/1/unit_price",
		with("unit_price", `9007199254740992`):        "/items/1/unit_price",
		with("gst_rate", `17`):                        "/items/1/gst_rate",
		with("gst_rate", `"18"`):                      "/items/1/gst_rate",
		with("gst_rate", `-18`):                       "/items/1/gst_rate",
		with("gst_rate", `18.000000000000001`):        "/items/1/gst_rate",
		with("gst_rate", `null`):                      "/items/1/gst_rate",
		with("description", `" "`):                    "/items/1/description",
		with("description", `""`):                     "/items/1/description",
		with("hsn_sac", `"12345"`):                    "/items/1/hsn_sac",
		with("unit", `""`):                            "/items/1/unit",
		with("unit", `" "`):                           "/items/1/unit",
		with("unit", `"`+strings.Repeat("x", 21)+`"`): "/items/1/unit",
		with("amount", `5`):                           "/items/1/amount",
		`{"contact_id":"` + contact + `","items":[` + most + `,` + most + `]}`:                                 "/items",
		`{"contact_id":"` + contact + `","items":[` + strings.Replace(most, ":0}", ":5}", 1) + `]}`:            "/items/0/unit_price",
		`{"contact_id":"` + contact + `","items":[` + strings.Repeat(aLine+",", 500) + aLine + `]}`:            "/items",
		`{"contact_id":"` + contact + `","items":[` + strings.Replace(aLine, `"2"`, `"99999999999"`, 1) + `]}`: "",
	} {
		want := strings.Fields(pointers)
		if pointers == "" {
			g.call(t, key, "POST", "/api/invoices", body).want(201)
			continue
		}
		g.call(t, key, "POST", "/api/invoices", body).problem(422, "validation_failed", want...)
	}
	var n int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM invoices`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d invoices after refusals, %v", n, err)
	}
	body := `{"contact_id":"` + contact + `","items":[` + strings.Repeat(aLine+",", 499) + aLine + `]}`
	if v := g.call(t, key, "POST", "/api/invoices", body).want(201).invoice(); len(v.Items) != 500 || v.Total != 500*118000 {
		t.Errorf("500 items: %d, total %d", len(v.Items), v.Total)
	}
}

func TestListInvoices(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	other, stranger := g.organization(t)
	first, second := g.buyer(t, org, nil, nil), g.buyer(t, org, nil, nil)
	g.draft(t, stranger, g.buyer(t, other, nil, nil))
	var ids []string
	for i := range 7 {
		contact := first
		if i%2 == 1 {
			contact = second
		}
		ids = append(ids, g.draft(t, key, contact).ID)
	}
	g.set(t, `UPDATE invoices SET status = 'cancelled', cancelled_at = now() WHERE id = ANY($1)`, ids[:2])
	for query, want := range map[string][]int{
		"":                                      {6, 5, 4, 3, 2, 1, 0},
		"&status=draft":                         {6, 5, 4, 3, 2},
		"&status=cancelled":                     {1, 0},
		"&status=paid":                          {},
		"&contact_id=" + first:                  {6, 4, 2, 0},
		"&contact_id=" + strings.ToUpper(first): {6, 4, 2, 0},
		"&status=draft&contact_id=" + second:    {5, 3},
	} {
		var got []string
		for cursor, more := "", true; more; {
			var p page[InvoiceView]
			g.call(t, key, "GET", "/api/invoices?limit=2"+query+cursor, "").want(200).json(&p)
			for _, v := range p.Data {
				got = append(got, v.ID)
			}
			if more = p.HasMore; more {
				cursor = "&cursor=" + *p.NextCursor
			}
		}
		var wanted []string
		for _, i := range want {
			wanted = append(wanted, ids[i])
		}
		if strings.Join(got, " ") != strings.Join(wanted, " ") {
			t.Errorf("%q: got %v, want %v", query, got, wanted)
		}
	}
	for query, pointer := range map[string]string{"status=open": "/query/status", "contact_id=x": "/query/contact_id", "limit=201": "/query/limit", "overdue=1": "/query/overdue"} {
		g.call(t, key, "GET", "/api/invoices?"+query, "").problem(422, "validation_failed", pointer)
	}
	var p page[InvoiceView]
	g.call(t, key, "GET", "/api/invoices?limit=2&status=draft", "").want(200).json(&p)
	g.call(t, key, "GET", "/api/invoices?limit=2&cursor="+*p.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, stranger, "GET", "/api/invoices/"+ids[0], "").problem(404, "not_found")
	g.call(t, key, "GET", "/api/invoices/x", "").problem(404, "not_found")
	if _, err := g.DB.Invoice(context.WithoutCancel(t.Context()), other, ids[0]); err == nil {
		t.Error("the store gives one organization the invoice of another")
	}
}
