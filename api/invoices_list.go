package api

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

type invoicesInput struct {
	PageQuery
	Status    string `query:"status" enum:"draft,sent,paid,overdue,cancelled"`
	ContactID string `query:"contact_id" format:"uuid"`
}

// invoiceList is what a list of invoices is kept as.
var invoiceList = cachetag.Entry{Name: "invoice:list", Tags: []string{cachetag.Invoices}, TTL: 5 * time.Minute}

// listInvoices lists invoices, newest first.
func (s *Server) listInvoices(ctx context.Context, in *invoicesInput) (*cached[page[InvoiceView]], error) {
	contactID, ok := canonicalID(in.ContactID)
	if in.ContactID != "" && !ok {
		return nil, invalid(Fault{"/query/contact_id", "must be the id of a contact"})
	}
	filters := []string{"invoices", in.Status, contactID}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	e := listEntry(invoiceList, in.PageQuery, filters)
	if contactID != "" {
		e = notCached
	}
	return readCached(ctx, s, e, func(ctx context.Context, organizationID string) (page[InvoiceView], error) {
		rows, err := s.DB.Invoices(ctx, organizationID, store.InvoiceFilter{
			Status: in.Status, ContactID: contactID, Before: before, Limit: in.Limit + 1,
		})
		if err != nil {
			return page[InvoiceView]{}, err
		}
		views := make([]InvoiceView, len(rows))
		for i, v := range rows {
			views[i] = invoiceViewOf(v)
		}
		return pageOf(views, in.Limit, func(v InvoiceView) string { return v.ID }, filters...), nil
	})
}
