package papers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/taxinvoice"
)

func ptr[T any](v T) *T { return &v }

func paper() store.InvoicePaper {
	sent := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return store.InvoicePaper{
		Invoice: store.Invoice{ID: "1", Status: store.InvoiceOverdue, Number: ptr("INV/26-27/00042"), PlaceOfSupply: "madras", PlaceOfSupplyCode: "33",
			InterState: true, IssueDate: "2026-11-22", DueDate: "2026-12-22", Notes: ptr("n"), Subtotal: 100, IGST: 18, Total: 118,
			AmountPaid: 8, AmountDue: 110, SentAt: &sent, UpdatedAt: sent.AddDate(0, 0, 3)},
		Lines: []store.InvoiceItem{{Description: "x", HSNSAC: ptr("9983"), Quantity: 2500, Unit: ptr("HRS"), UnitPrice: 40, GSTRate: 1800,
			Amount: 100, IGST: 18, Total: 118}},
		Seller: store.Supplier{Name: "Acme", GSTIN: ptr("27AAPFU0939F1ZV"), State: "mh", Email: ptr("a@acme.example"), Address: ptr("Here")},
		Buyer:  store.Customer{Name: "Asha", Company: ptr("Rao Traders"), GSTIN: ptr("33X"), State: ptr("Tamilnadu"), City: ptr("Chennai"), Address: ptr("There")},
	}
}

func TestEverythingIsCarriedOver(t *testing.T) {
	t.Parallel()
	p := paper()
	want := taxinvoice.Invoice{
		Stage: taxinvoice.Issued, Number: "INV/26-27/00042", IssueDate: "2026-11-22", DueDate: "2026-12-22", Made: *p.SentAt, Notes: "n",
		Supplier: taxinvoice.Party{Name: "Acme", GSTIN: "27AAPFU0939F1ZV", State: "Maharashtra", Code: "27", Email: "a@acme.example", Address: "Here"},
		Customer: taxinvoice.Party{Name: "Rao Traders", Contact: "Asha", GSTIN: "33X", State: "Tamil Nadu", Code: "33", City: "Chennai", Address: "There"},
		Place:    gst.State{Code: "33", Alpha: "TN", Name: "Tamil Nadu"}, Supply: gst.InterState,
		Subtotal: 100, IGST: 18, Total: 118, Paid: 8, Due: 110,
		Items: []taxinvoice.Item{{Description: "x", HSNSAC: "9983", Quantity: 2500, Unit: "HRS", UnitPrice: 40, Rate: 1800, Amount: 100, IGST: 18, Total: 118}},
	}
	if diff := cmp.Diff(want, invoiceOf(p)); diff != "" {
		t.Error(diff)
	}
	// What can't be read stays as it was written.
	p.Buyer = store.Customer{Name: "Asha", Company: ptr("Asha"), State: ptr("California")}
	p.SentAt, p.Status, p.Number = nil, store.InvoiceDraft, nil
	v := invoiceOf(p)
	if diff := cmp.Diff(taxinvoice.Party{Name: "Asha", State: "California"}, v.Customer); diff != "" || v.Stage != taxinvoice.Draft || !v.Made.Equal(p.UpdatedAt) {
		t.Errorf("%s, %+v", diff, v)
	}
}

func TestInvoiceFilename(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"INV/26-27/00042": "INV-26-27-00042.pdf", `a"b\c`: "a-b-c.pdf", "../x": "---x.pdf", "क/1\r\n": "--1--.pdf",
	} {
		p := paper()
		p.Number = &number
		if got := InvoiceFilename(p); got != want {
			t.Errorf("%q is %q, want %q", number, got, want)
		}
	}
	if got := InvoiceFilename(store.InvoicePaper{}); got != "draft-invoice.pdf" {
		t.Errorf("a draft is %q", got)
	}
}

// TestFewAtOnce: who has to wait and goes away, waits no longer.
func TestFewAtOnce(t *testing.T) {
	for range cap(drawing) {
		drawing <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Invoice(ctx, paper()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for range cap(drawing) {
		<-drawing
	}
	if content, err := Invoice(t.Context(), paper()); err != nil || len(content) == 0 {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}
