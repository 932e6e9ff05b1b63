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

// errTaxedAnew means that a draft would be sent with other taxes than the client has read.
var errTaxedAnew = errors.New("taxed anew")

// sendInvoice gives a draft its number and fixes what it says, with taxes and parties as they are at that moment.
// A client that says which version it means, and so what it has read, gets these taxes or nothing.
func (s *Server) sendInvoice(ctx context.Context, in *changeInvoiceInput) (*created[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return onNewest(func() (*created[invoiceDetail], error) {
		sent, err := s.invoiceOnce(ctx, http.StatusOK, s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, draft store.Invoice) (store.Invoice, []events.Fact, error) {
			v, err := s.finalInvoice(ctx, tx, draft)
			if err != nil {
				return v, nil, err
			}
			if namesVersion(in.IfMatch) && len(taxChanges(draft, v)) > 0 {
				return v, nil, errTaxedAnew
			}
			return s.giveNumber(ctx, tx, v, itemsOf(draft, v))
		}))
		if errors.Is(err, errTaxedAnew) {
			err = s.taxAnew(ctx, id, in.IfMatch)
		}
		return sent, err
	})
}

// giveNumber makes a draft that is as it is to be sent a sent one.
func (s *Server) giveNumber(ctx context.Context, tx pgx.Tx, v store.Invoice, items store.Items) (store.Invoice, []events.Fact, error) {
	day, err := time.Parse(time.DateOnly, v.IssueDate)
	if err != nil {
		return v, nil, fmt.Errorf("read the issue date of invoice %s: %w", v.ID, err)
	}
	v, err = store.SendInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v, items, gst.FinancialYear(day), gst.InvoiceNumber)
	if err != nil {
		return v, nil, err
	}
	return v, []events.Fact{events.InvoiceSent{InvoiceID: v.ID, ContactID: v.ContactID, Number: *v.Number, Total: v.Total,
		Currency: v.Currency, DueDate: v.DueDate, Version: v.Version}}, nil
}

// taxAnew saves a draft with the taxes that it would be sent with, so that the client can read them, and is the
// refusal that says so. That is a transaction of its own: a refused request leaves no trace of its
// Idempotency-Key. It is store.ErrConflict when the taxes are again what they were.
func (s *Server) taxAnew(ctx context.Context, id, ifMatch string) error {
	err := s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		_, facts, err := s.locked(ctx, id, ifMatch, func(tx pgx.Tx, draft store.Invoice) (store.Invoice, []events.Fact, error) {
			v, err := s.finalInvoice(ctx, tx, draft)
			if err != nil {
				return v, nil, err
			}
			changed := taxChanges(draft, v)
			if len(changed) == 0 {
				return v, nil, store.ErrConflict
			}
			v, err = store.UpdateInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v, itemsOf(draft, v))
			return v, []events.Fact{events.InvoiceUpdated{InvoiceID: v.ID, ContactID: v.ContactID, Changed: changed, Version: v.Version}}, err
		})(tx)
		return facts, err
	})
	if err != nil {
		return err
	}
	return refuse("precondition_failed",
		"the invoice's tax has changed since you read it, with the state of its organization or contact; nothing was sent, read it again")
}

// finalInvoice is a draft as it is sent.
func (s *Server) finalInvoice(ctx context.Context, tx pgx.Tx, v store.Invoice) (store.Invoice, error) {
	if v.Status != store.InvoiceDraft {
		return v, refuseInvoice(v, store.InvoiceSent)
	}
	parties, err := store.PartiesOfInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v.ContactID)
	if err != nil {
		return v, err
	}
	e := invoiceEdit{Invoice: &v, parties: parties}
	if err := e.tax(invoicePatch{}); err != nil {
		return v, err
	}
	if v.Total == 0 {
		return v, refuse("invoice_empty", "the invoice asks for nothing: its total is 0")
	}
	v.Supplier, err = supplierOf(parties.Organization)
	v.Customer = customerOf(parties.Contact)
	return v, err
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
