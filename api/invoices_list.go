package api

import (
	"context"

	"github.com/payaid/payaid/internal/store"
)

type invoicesInput struct {
	PageQuery
	Status    string `query:"status" enum:"draft,sent,paid,overdue,cancelled"`
	ContactID string `query:"contact_id" format:"uuid"`
}

type invoicesOutput struct{ Body page[InvoiceView] }

// listInvoices lists invoices, newest first.
func (s *Server) listInvoices(ctx context.Context, in *invoicesInput) (*invoicesOutput, error) {
	contactID, ok := canonicalID(in.ContactID)
	if in.ContactID != "" && !ok {
		return nil, invalid(Fault{"/query/contact_id", "must be the id of a contact"})
	}
	filters := []string{"invoices", in.Status, contactID}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Invoices(ctx, exchangeOf(ctx).caller.OrganizationID, store.InvoiceFilter{
		Status: in.Status, ContactID: contactID, Before: before, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	views := make([]InvoiceView, len(rows))
	for i, v := range rows {
		views[i] = invoiceViewOf(v)
	}
	return &invoicesOutput{pageOf(views, in.Limit, func(v InvoiceView) string { return v.ID }, filters...)}, nil
}
