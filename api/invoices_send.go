package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// nextInvoice lists where an invoice can go from each status. It becomes overdue by itself, when its due date
// has passed, and sent again when that is put off.
var nextInvoice = map[string][]string{
	store.InvoiceDraft:   {store.InvoiceSent, store.InvoiceCancelled},
	store.InvoiceSent:    {store.InvoicePaid, store.InvoiceOverdue, store.InvoiceCancelled},
	store.InvoiceOverdue: {store.InvoicePaid, store.InvoiceSent, store.InvoiceCancelled},
}

func refuseInvoice(v store.Invoice, to string) error {
	return refuseTransition("an invoice", v.Status, to, nextInvoice[v.Status])
}

// sendInvoice gives a draft its number and fixes what it says, with taxes and parties as they are at that moment.
func (s *Server) sendInvoice(ctx context.Context, in *changeInvoiceInput) (*created[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return s.invoiceOnce(ctx, http.StatusOK, s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, draft store.Invoice) (store.Invoice, []events.Fact, error) {
		if draft.Status != store.InvoiceDraft {
			return draft, nil, refuseInvoice(draft, store.InvoiceSent)
		}
		v, err := s.finalInvoice(ctx, tx, draft)
		if err != nil {
			return v, nil, err
		}
		day, err := time.Parse(time.DateOnly, v.IssueDate)
		if err != nil {
			return v, nil, fmt.Errorf("read the issue date of invoice %s: %w", v.ID, err)
		}
		v, err = store.SendInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v, itemsOf(draft, v),
			gst.FinancialYear(day), gst.InvoiceNumber)
		if err != nil {
			return v, nil, err
		}
		return v, []events.Fact{events.InvoiceSent{InvoiceID: v.ID, ContactID: v.ContactID, Number: *v.Number, Total: v.Total,
			Currency: v.Currency, DueDate: v.DueDate, Version: v.Version}}, nil
	}))
}

// finalInvoice is a draft as it is sent.
func (s *Server) finalInvoice(ctx context.Context, tx pgx.Tx, v store.Invoice) (store.Invoice, error) {
	parties, err := store.PartiesOfInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v.ContactID)
	if err != nil {
		return v, err
	}
	seller, err := sellerOf(parties.Organization)
	if err != nil {
		return v, err
	}
	if faults := taxInvoice(&v, seller); len(faults) > 0 {
		return v, invalid(faults...)
	}
	if v.Total == 0 {
		return v, refuse("invoice_empty", "the invoice asks for nothing: its total is 0")
	}
	v.Supplier = &store.Supplier{Name: parties.Organization.Name, GSTIN: parties.Organization.GSTIN,
		State: parties.Organization.State, StateCode: seller.Code}
	v.Customer = &parties.Contact
	return v, nil
}

// cancelInvoice ends an invoice for which nothing was paid. It keeps its number.
func (s *Server) cancelInvoice(ctx context.Context, in *changeInvoiceInput) (*created[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return s.invoiceOnce(ctx, http.StatusOK, s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, v store.Invoice) (store.Invoice, []events.Fact, error) {
		if v.AmountPaid > 0 {
			return v, nil, refuse("invoice_has_payments", fmt.Sprintf("%d paise were paid for the invoice, so it can't be cancelled", v.AmountPaid))
		}
		cancelled, err := store.CancelInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v)
		if errors.Is(err, store.ErrConflict) {
			return v, nil, refuseInvoice(v, store.InvoiceCancelled)
		}
		if err != nil {
			return v, nil, err
		}
		fact := events.InvoiceCancelled{InvoiceID: v.ID, ContactID: v.ContactID, Version: cancelled.Version}
		if v.Number != nil {
			fact.Number = *v.Number
		}
		return cancelled, []events.Fact{fact}, nil
	}))
}
