package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type payInvoiceInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the payment is meant for"`
	Body    struct {
		Amount    int64      `json:"amount" minimum:"1" maximum:"9007199254740991" doc:"In paise, at most what is due"`
		PaidAt    *time.Time `json:"paid_at,omitempty" nullable:"true" doc:"Left out: now"`
		Method    *string    `json:"method,omitempty" nullable:"true" minLength:"1" maxLength:"50"`
		Reference *string    `json:"reference,omitempty" nullable:"true" minLength:"1" maxLength:"100"`
	}
}

// payInvoice notes money that came in. What pays the rest makes the invoice paid.
func (s *Server) payInvoice(ctx context.Context, in *payInvoiceInput) (*created[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	if faults := in.check(time.Now()); len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return s.invoiceOnce(ctx, http.StatusOK, s.locked(ctx, id, in.IfMatch, func(tx pgx.Tx, v store.Invoice) (store.Invoice, []events.Fact, error) {
		if v.Status != store.InvoiceSent && v.Status != store.InvoiceOverdue {
			return v, nil, refuse("invalid_transition", notDue[v.Status])
		}
		if in.Body.Amount > v.AmountDue {
			return v, nil, invalid(Fault{"/amount", fmt.Sprintf("must be at most %d, which is due", v.AmountDue)})
		}
		p := store.Payment{ID: outbox.NewID(), Amount: in.Body.Amount, Method: in.Body.Method, Reference: in.Body.Reference, PaidAt: time.Now()}
		if in.Body.PaidAt != nil && in.Body.PaidAt.Before(p.PaidAt) {
			p.PaidAt = *in.Body.PaidAt
		}
		v, err := store.PayInvoice(ctx, tx, exchangeOf(ctx).caller.OrganizationID, v, p)
		if err != nil {
			return v, nil, err
		}
		return v, []events.Fact{paymentFact(v)}, nil
	}))
}

// notDue says why nothing can be paid for an invoice.
var notDue = map[string]string{
	store.InvoiceDraft:     "nothing is due for a draft; send it first",
	store.InvoicePaid:      "nothing is due any more: the invoice is paid",
	store.InvoiceCancelled: "nothing is due: the invoice is cancelled",
}

// A client's clock may be this far ahead of ours; what it calls now is now.
const clockSkew = time.Minute

// check tidies the texts, and finds what a payment can't be.
func (in *payInvoiceInput) check(now time.Time) (faults []Fault) {
	switch t := in.Body.PaidAt; {
	case t == nil:
	case t.After(now.Add(clockSkew)):
		faults = append(faults, Fault{"/paid_at", "must not be in the future"})
	case t.UTC().Year() < 1: // before, a time has no RFC 3339 form in UTC
		faults = append(faults, Fault{"/paid_at", "must not be before the year 1"})
	}
	var m merge
	m.optionalText("method", &in.Body.Method, given(in.Body.Method), line)
	m.optionalText("reference", &in.Body.Reference, given(in.Body.Reference), line)
	return append(faults, m.faults...)
}

// paymentFact is what a payment came to.
func paymentFact(v store.Invoice) events.Fact {
	if v.Status == store.InvoicePaid {
		return events.InvoicePaid{InvoiceID: v.ID, ContactID: v.ContactID, Number: *v.Number, Total: v.Total,
			Currency: v.Currency, PaidAt: v.PaidAt.UTC(), Version: v.Version}
	}
	return events.InvoiceUpdated{InvoiceID: v.ID, ContactID: v.ContactID, Changed: []string{"amount_paid"}, Version: v.Version}
}
