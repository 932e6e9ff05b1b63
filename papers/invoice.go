// Package papers draws what the product gives people to read and to keep: an invoice as a PDF. It brings the
// records and what draws them together, for whoever has to hand one out.
package papers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/taxinvoice"
)

// A drawing uses 25 to 50 MB of memory that is free again afterwards, so few are made at once.
var drawing = make(chan struct{}, 2)

// ReadInvoice reads an invoice and draws it: the name of its file, and the PDF. It is store.ErrNotFound when the
// organization has no such invoice.
func ReadInvoice(ctx context.Context, db *store.DB, organizationID, id string) (filename string, content []byte, err error) {
	p, err := db.InvoicePaper(ctx, organizationID, id)
	if err != nil {
		return "", nil, err
	}
	content, err = Invoice(ctx, p)
	return InvoiceFilename(p), content, err
}

// Invoice draws an invoice as a PDF. It waits while others are being drawn.
func Invoice(ctx context.Context, p store.InvoicePaper) ([]byte, error) {
	select {
	case drawing <- struct{}{}:
		defer func() { <-drawing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("draw invoice %s: %w", p.ID, context.Cause(ctx))
	}
	content, err := invoiceOf(p).PDF()
	if err != nil {
		return nil, fmt.Errorf("draw invoice %s: %w", p.ID, err)
	}
	return content, nil
}

// InvoiceFilename is what the file is called: the invoice's number, in letters that every system takes.
func InvoiceFilename(p store.InvoicePaper) string {
	if p.Number == nil {
		return "draft-invoice.pdf"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, *p.Number) + ".pdf"
}

func invoiceOf(p store.InvoicePaper) taxinvoice.Invoice {
	v := taxinvoice.Invoice{
		Stage: stageOf(p.Status), Number: text(p.Number), IssueDate: p.IssueDate, DueDate: p.DueDate,
		Supplier: sellerOf(p.Seller), Customer: buyerOf(p.Buyer), Place: placeOf(p.Invoice), Supply: gst.IntraState,
		Subtotal: p.Subtotal, CGST: p.CGST, SGST: p.SGST, IGST: p.IGST, Total: p.Total, Paid: p.AmountPaid, Due: p.AmountDue,
		Notes: text(p.Notes), Made: madeAt(p.Invoice),
	}
	if p.InterState {
		v.Supply = gst.InterState
	}
	for _, i := range p.Lines {
		v.Items = append(v.Items, taxinvoice.Item{
			Description: i.Description, HSNSAC: text(i.HSNSAC), Quantity: gst.Quantity(i.Quantity), Unit: text(i.Unit),
			UnitPrice: i.UnitPrice, Rate: gst.Rate(i.GSTRate), Amount: i.Amount, CGST: i.CGST, SGST: i.SGST, IGST: i.IGST, Total: i.Total,
		})
	}
	return v
}

func stageOf(status string) taxinvoice.Stage {
	switch status {
	case store.InvoiceDraft:
		return taxinvoice.Draft
	case store.InvoiceCancelled:
		return taxinvoice.Cancelled
	}
	return taxinvoice.Issued
}

func sellerOf(s store.Supplier) taxinvoice.Party {
	p := taxinvoice.Party{Name: s.Name, GSTIN: text(s.GSTIN), Address: text(s.Address), Email: text(s.Email)}
	p.State, p.Code = stateOf(s.State)
	return p
}

// buyerOf names the company first, where there is one: it is whom the invoice is to.
func buyerOf(c store.Customer) taxinvoice.Party {
	p := taxinvoice.Party{Name: c.Name, GSTIN: text(c.GSTIN), Address: text(c.Address), City: text(c.City), Email: text(c.Email)}
	if c.Company != nil && *c.Company != c.Name {
		p.Name, p.Contact = *c.Company, c.Name
	}
	p.State, p.Code = stateOf(text(c.State))
	return p
}

// stateOf is a state by its proper name and code, or what else was written there.
func stateOf(written string) (name, code string) {
	if s, err := gst.ParseState(written); err == nil {
		return s.Name, s.Code
	}
	return written, ""
}

func placeOf(v store.Invoice) gst.State {
	if s, err := gst.ParseState(v.PlaceOfSupplyCode); err == nil {
		return s
	}
	return gst.State{Code: v.PlaceOfSupplyCode, Name: v.PlaceOfSupply}
}

// madeAt is the same for one version of an invoice, and stays with what was sent.
func madeAt(v store.Invoice) time.Time {
	if v.SentAt != nil {
		return *v.SentAt
	}
	return v.UpdatedAt
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
