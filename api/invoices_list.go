package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

type invoicesInput struct {
	PageQuery
	Status    string `query:"status" enum:"draft,sent,paid,overdue,cancelled"`
	ContactID string `query:"contact_id" format:"uuid"`
	Q         string `query:"q" maxLength:"200" doc:"Words that are all in number and customer's name as the invoice says them, or all in its contact's name, in any order, in capitals or not; 10 at most"`
	Include   string `query:"include" enum:"contact"`
}

// invoiceList is what a list of invoices is kept as.
var invoiceList = cachetag.Entry{Name: "invoice:list", Tags: []string{cachetag.Invoices}, TTL: 5 * time.Minute}

// listInvoices lists invoices, newest first.
func (s *Server) listInvoices(ctx context.Context, in *invoicesInput) (*cached[page[InvoiceView]], error) {
	contactID, ok := canonicalID(in.ContactID)
	if in.ContactID != "" && !ok {
		return nil, invalid(Fault{"/query/contact_id", "must be the id of a contact"})
	}
	q := strings.TrimSpace(in.Q)
	words, err := s.wordSearch(q)
	if err != nil {
		return nil, err
	}
	filters := []string{"invoices", in.Status, contactID, q}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	e := listEntry(invoiceList, in.PageQuery, append(filters, in.Include))
	if in.Include != "" {
		e.Tags = []string{cachetag.Invoices, cachetag.Contacts}
	}
	if contactID != "" || words.Count() > 0 {
		e = notCached
	}
	f := store.InvoiceFilter{Status: in.Status, ContactID: contactID, Before: before, Limit: in.Limit + 1}
	return readCached(ctx, s, e, func(ctx context.Context, organizationID string) (page[InvoiceView], error) {
		rows, err := s.findInvoices(ctx, organizationID, words, f)
		if err != nil {
			return page[InvoiceView]{}, err
		}
		views := make([]InvoiceView, len(rows))
		for i, v := range rows {
			views[i] = invoiceViewOf(v)
		}
		p := pageOf(views, in.Limit, func(v InvoiceView) string { return v.ID }, filters...)
		if in.Include != "" {
			err = includeContacts(ctx, s, organizationID, p.Data, func(v *InvoiceView) (string, **ContactView) { return v.ContactID, &v.Contact })
		}
		return p, err
	})
}

func (s *Server) findInvoices(ctx context.Context, organizationID string, words store.Words, f store.InvoiceFilter) ([]store.Invoice, error) {
	if words.Count() == 0 {
		return s.DB.Invoices(ctx, organizationID, f)
	}
	rows, err := s.DB.SearchInvoices(ctx, organizationID, words, f)
	if errors.Is(err, store.ErrTooSlow) {
		return nil, searchTimeout(s.patience)
	}
	return rows, err
}
