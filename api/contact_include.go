package api

import (
	"strings"

	"github.com/payaid/payaid/internal/store"
)

// How much is included of each contact: what a list shows beside a name, and what the detail begins with.
const (
	listDeals          = 5
	listUnpaidInvoices = 3
	detailDeals        = 10
	detailInvoices     = 5
)

// IncludeQuery asks for more than the contact itself.
type IncludeQuery struct {
	Include []string `query:"include,explode" doc:"deals, invoices or both, with a comma between them or one by one"`
}

// include says which of all that may be included was asked for.
func (q IncludeQuery) include(all store.Include) (want store.Include, err error) {
	for _, list := range q.Include {
		for name := range strings.SplitSeq(list, ",") {
			switch strings.TrimSpace(name) {
			case "deals":
				want.Deals = all.Deals
			case "invoices":
				want.Invoices, want.UnpaidInvoices = all.Invoices, all.UnpaidInvoices
			case "": // as in a form that was left empty
			default:
				return want, invalid(Fault{"/query/include", "is not a list of deals and invoices"})
			}
		}
	}
	return want, nil
}

// add shows what was asked for, with nothing in it where there is none.
func (v *ContactView) add(r store.Related, with store.Include) {
	if with.Deals > 0 {
		v.Deals = make([]DealView, len(r.Deals))
		for i, d := range r.Deals {
			v.Deals[i] = dealViewOf(d)
		}
	}
	if with.Invoices > 0 || with.UnpaidInvoices > 0 {
		v.Invoices = make([]InvoiceView, len(r.Invoices))
		for i, invoice := range r.Invoices {
			v.Invoices[i] = invoiceViewOf(invoice)
		}
	}
}
