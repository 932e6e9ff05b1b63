package sampledata

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/gst"
)

type invoice struct {
	id        uuid.UUID
	contact   contact
	status    string
	supply    gst.Supply
	issue     time.Time // midnight UTC of the day, as due
	due       time.Time
	notes     *string
	items     []item
	sum       gst.Tax
	paid      int64
	payments  []payment
	sent      *time.Time // nil: it never was, and has no number
	settled   *time.Time
	cancelled *time.Time
	version   int64
	created   time.Time
	updated   time.Time
}

type item struct {
	article
	gst.Line
	gst.Tax
}

// invoice makes up the i-th invoice, mostly to a customer, with a contact that was there before it.
func (b *business) invoice(i int) invoice {
	d := b.chance.of(invoiceKind, i)
	v := invoice{created: b.calendar.at(i, b.rows.Invoices, d), version: 1}
	v.contact = b.contact(b.customer(d, i))
	v.created = after(v.created, v.contact.created)
	v.id = b.chance.id(invoiceKind, i, v.created)
	v.supply = gst.SupplyBetween(b.state, v.contact.state)
	v.issue = date(v.created)
	v.due = v.issue.AddDate(0, 0, pick(d, []int{0, 7, 15, 15, 30, 30, 30, 45}))
	if d.percent(25) {
		note := pick(d, invoiceNotes)
		v.notes = &note
	}
	for range 1 + d.weighted(48, 28, 14, 7, 3) {
		v.sell(d)
	}
	v.updated = v.created
	b.send(d, i, &v)
	return v
}

// customer is a contact made before the i-th invoice, and one that buys if a few tries find it.
func (b *business) customer(d dice, i int) int {
	n := b.earlier(d, i, b.rows.Invoices)
	for tries := 0; tries < 4 && typeOf(b.chance.of(contactKind, n)) != "customer"; tries++ {
		n = b.earlier(d, i, b.rows.Invoices)
	}
	return n
}

func (v *invoice) sell(d dice) {
	a := pick(d, articles)
	line := a.line(d, v.created)
	tax, err := line.Tax(v.supply)
	if err != nil {
		panic(fmt.Sprintf("sampledata: a line of our own making: %v", err))
	}
	v.items = append(v.items, item{a, line, tax})
	v.sum.Amount += tax.Amount
	v.sum.CGST += tax.CGST
	v.sum.SGST += tax.SGST
	v.sum.IGST += tax.IGST
	v.sum.Total += tax.Total
}

// send decides what became of the invoice by today.
func (b *business) send(d dice, i int, v *invoice) {
	age := b.calendar.daysSince(v.created)
	v.status = "draft"
	if age < 10 && d.percent(35) || d.percent(1) {
		return
	}
	if d.percent(1) {
		v.cancel(v.created.Add(time.Duration(d.between(5, 300)) * time.Minute))
		return
	}
	at := v.created.Add(20 * time.Minute) // always, so that numbers go up with time
	v.status, v.sent, v.updated = "sent", &at, at
	v.version++
	if d.percent(3) {
		v.cancel(b.calendar.later(d, at, 20))
		return
	}
	b.pay(d, i, v)
}

func (v *invoice) cancel(at time.Time) {
	v.status, v.cancelled, v.updated = "cancelled", &at, at
	v.version++
}

// invoiceColumns has the columns of the number in the middle.
var invoiceColumns = []string{"organization_id", "id", "contact_id", "status", "financial_year", "sequence", "number",
	"place_of_supply", "place_of_supply_code", "place_of_supply_given", "inter_state", "issue_date", "due_date", "notes",
	"subtotal", "cgst", "sgst", "igst", "total", "amount_paid", "supplier", "customer", "sent_at", "paid_at", "cancelled_at", "version", "created_at", "updated_at"}

// numbers are the last that were given, by financial year.
type numbers map[int]int

// invoiceRows gives the rows one after another, as their numbers have no gaps.
func (b *business) invoiceRows(last numbers) func(int, []any) []any {
	supplier := encoded(struct {
		Name      string  `json:"name"`
		GSTIN     *string `json:"gstin"`
		State     string  `json:"state"`
		StateCode string  `json:"state_code"`
	}{b.name, b.gstin, b.stateText, b.state.Code})
	return func(i int, row []any) []any {
		v := b.invoice(i)
		row = append(row, b.id, v.id, v.contact.id, v.status)
		var by, to []byte
		if v.sent == nil {
			row = append(row, nil, nil, nil)
		} else {
			year := gst.FinancialYear(v.issue)
			last[year]++
			row = append(row, year, last[year], gst.InvoiceNumber(year, last[year]))
			by, to = supplier, v.contact.snapshot()
		}
		return append(row, v.contact.state.Name, v.contact.state.Code, false, v.supply == gst.InterState, v.issue, v.due, v.notes,
			v.sum.Amount, v.sum.CGST, v.sum.SGST, v.sum.IGST, v.sum.Total, v.paid, by, to,
			v.sent, v.settled, v.cancelled, v.version, v.created, v.updated)
	}
}

// snapshot is who bought, as an invoice keeps it.
func (c contact) snapshot() []byte {
	return encoded(struct {
		Name      string  `json:"name"`
		Company   *string `json:"company"`
		Email     string  `json:"email"`
		GSTIN     *string `json:"gstin"`
		State     string  `json:"state"`
		StateCode string  `json:"state_code"`
		City      string  `json:"city"`
	}{c.name, c.company, c.email, c.gstin, c.state.Name, c.state.Code, c.city.name})
}

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sampledata: encode %T: %v", v, err))
	}
	return text
}
