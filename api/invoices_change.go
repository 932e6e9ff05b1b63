package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// An invoiceChange turns an invoice that it holds the lock of into what it answers, and says what happened.
type invoiceChange func(pgx.Tx, store.Invoice) (store.Invoice, []events.Fact, error)

// locked gives a change the invoice as it is now, if that is the version that the change is meant for. The
// row stays locked until the transaction ends, so no change meets another.
func (s *Server) locked(ctx context.Context, id, ifMatch string, do invoiceChange) func(pgx.Tx) (store.Invoice, []events.Fact, error) {
	return func(tx pgx.Tx) (store.Invoice, []events.Fact, error) {
		v, err := store.LockInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id)
		if err != nil {
			return v, nil, err
		}
		if err := checkMatch(ifMatch, v.Version); err != nil {
			return v, nil, err
		}
		return do(tx, v)
	}
}

type patchInvoiceInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    invoicePatch
}

// patchInvoice changes a draft, or the little that may change about an invoice that is due. A draft with
// another contact goes to that one's place of supply, unless the patch names one.
func (s *Server) patchInvoice(ctx context.Context, in *patchInvoiceInput) (*versioned[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var v store.Invoice
	err = s.change(ctx, func(tx pgx.Tx) (facts []events.Fact, err error) {
		v, facts, err = s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, old store.Invoice) (store.Invoice, []events.Fact, error) {
			return s.applyPatch(ctx, tx, old, in.Body)
		})(tx)
		return facts, err
	})
	if err != nil {
		return nil, err
	}
	return invoiceDetailOf(v), nil
}

func (s *Server) applyPatch(ctx context.Context, tx pgx.Tx, old store.Invoice, p invoicePatch) (store.Invoice, []events.Fact, error) {
	v := old
	changed, err := s.editInvoice(ctx, tx, &v, p)
	if err != nil || len(changed) == 0 {
		return old, nil, err
	}
	if err := checkOpen(old.Status, changed); err != nil {
		return old, nil, err
	}
	v, err = store.UpdateInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v, itemsOf(old, v))
	return v, []events.Fact{events.InvoiceUpdated{InvoiceID: v.ID, ContactID: v.ContactID, Changed: changed, Version: v.Version}}, err
}

// itemsOf says whether items have to be written, as their taxes may have changed though they have not.
func itemsOf(old, v store.Invoice) store.Items {
	same := slices.EqualFunc(old.Items, v.Items, func(a, b store.InvoiceItem) bool {
		return sameItem(a, b) && a.Amount == b.Amount && a.CGST == b.CGST && a.SGST == b.SGST && a.IGST == b.IGST
	})
	if same {
		return store.KeepItems
	}
	return store.ReplaceItems
}

// openFields are what may still change about an invoice that is no draft.
var openFields = map[string][]string{
	store.InvoiceSent:    {"notes", "due_date"},
	store.InvoiceOverdue: {"notes", "due_date", "status"},
}

// checkOpen refuses changes of fields that are fixed in a status.
func checkOpen(status string, changed []string) error {
	if status == store.InvoiceDraft {
		return nil
	}
	open := openFields[status]
	fixed := slices.DeleteFunc(slices.Clone(changed), func(field string) bool { return slices.Contains(open, field) })
	if len(fixed) == 0 {
		return nil
	}
	still := "nothing can"
	if len(open) > 0 {
		still = "notes and due_date can"
	}
	return refuse("invoice_fixed", fmt.Sprintf("%s can't change when an invoice is %s; %s", strings.Join(fixed, ", "), status, still))
}

type changeInvoiceInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
}

// deleteInvoice deletes a draft.
func (s *Server) deleteInvoice(ctx context.Context, in *changeInvoiceInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		_, facts, err := s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, v store.Invoice) (store.Invoice, []events.Fact, error) {
			switch {
			case v.Status == store.InvoiceDraft:
			case v.Status == store.InvoiceCancelled || v.AmountPaid > 0:
				return v, nil, refuse("invoice_fixed", "an invoice that is cancelled or for which money came in stays; only drafts can be deleted")
			default:
				return v, nil, refuse("invoice_fixed", "an invoice that is "+v.Status+" can't be deleted; cancel it instead")
			}
			err := store.DeleteInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v.ID)
			return v, []events.Fact{events.InvoiceDeleted{InvoiceID: v.ID, ContactID: v.ContactID, Version: v.Version + 1}}, err
		})(tx)
		return facts, err
	})
}
