package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type createInvoiceInput struct {
	Body struct {
		ContactID     string             `json:"contact_id" format:"uuid"`
		PlaceOfSupply *string            `json:"place_of_supply,omitempty" nullable:"true" minLength:"1" maxLength:"64" doc:"A state by name, code or letters; left out, that of the contact's GSTIN, else the contact's, else the organization's, as they are when the invoice is sent"`
		IssueDate     *string            `json:"issue_date,omitempty" nullable:"true" format:"date" doc:"Left out: today, where the organization is"`
		DueDate       *string            `json:"due_date,omitempty" nullable:"true" format:"date" doc:"Left out: 30 days after the issue"`
		Notes         *string            `json:"notes,omitempty" nullable:"true" maxLength:"10000"`
		Items         []invoiceItemInput `json:"items" minItems:"1" maxItems:"500"`
	}
}

// createInvoice makes a draft.
func (s *Server) createInvoice(ctx context.Context, in *createInvoiceInput) (*created[invoiceDetail], error) {
	p := invoicePatch{
		ContactID:     given(&in.Body.ContactID),
		PlaceOfSupply: given(in.Body.PlaceOfSupply),
		IssueDate:     given(in.Body.IssueDate),
		DueDate:       given(in.Body.DueDate),
		Notes:         given(in.Body.Notes),
		Items:         given(&in.Body.Items),
	}
	return s.invoiceOnce(ctx, http.StatusCreated, func(tx pgx.Tx) (store.Invoice, []events.Fact, error) {
		v := store.Invoice{ID: outbox.NewID(), Status: store.InvoiceDraft}
		if _, err := s.editInvoice(ctx, tx, &v, p); err != nil {
			return v, nil, err
		}
		v, err := store.CreateInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v)
		return v, []events.Fact{events.InvoiceCreated{InvoiceID: v.ID, ContactID: v.ContactID, Total: v.Total,
			Currency: v.Currency, Version: v.Version}}, err
	})
}

// given is the field of a patch that says everything: what is missing is null.
func given[T any](value *T) optional[T] {
	if value == nil {
		return optional[T]{set: true, null: true}
	}
	return optional[T]{value: *value, set: true}
}

// editInvoice applies a patch to an invoice between those who are its parties then, and names what changed.
func (s *Server) editInvoice(ctx context.Context, tx pgx.Tx, v *store.Invoice, p invoicePatch) (changed []string, err error) {
	contactID := v.ContactID
	if p.ContactID.null {
		return nil, invalid(Fault{"/contact_id", "can't be taken away"})
	}
	if p.ContactID.set {
		var ok bool
		if contactID, ok = canonicalID(p.ContactID.value); !ok {
			return nil, invalid(noContact)
		}
		p.ContactID.value = contactID
	}
	parties, err := store.PartiesOfInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, contactID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, invalid(noContact)
	}
	if err != nil {
		return nil, err
	}
	e := invoiceEdit{Invoice: v, parties: parties, rates: s.GSTRates}
	err = e.apply(p)
	return e.changed, err
}

// invoiceOnce carries a change of an invoice out that may come with an Idempotency-Key.
func (s *Server) invoiceOnce(ctx context.Context, status int,
	do func(pgx.Tx) (store.Invoice, []events.Fact, error)) (*created[invoiceDetail], error) {
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		v, facts, err := do(tx)
		if err != nil {
			return answer{}, nil, err
		}
		detail := invoiceDetailOf(v)
		a := answer{status: status, headers: answerHeaders{ETag: detail.ETag}}
		if status == http.StatusCreated {
			a.headers.Location = invoicePath(v.ID)
		}
		a.body, err = encode(detail.Body)
		return a, facts, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[invoiceDetail](a), nil
}
