package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// InvoiceView is an invoice as lists have it.
type InvoiceView struct {
	ID                string        `json:"id" format:"uuid"`
	ContactID         string        `json:"contact_id" format:"uuid"`
	Status            string        `json:"status" enum:"draft,sent,paid,overdue,cancelled"`
	Number            *string       `json:"number" doc:"null before it is sent"`
	PlaceOfSupply     string        `json:"place_of_supply" doc:"As it was given; else the name of the contact's state, which a draft follows when it changes and when it is sent"`
	PlaceOfSupplyCode string        `json:"place_of_supply_code" doc:"GST's code of that state"`
	InterState        bool          `json:"inter_state" doc:"Across a border: igst; within the organization's state: cgst and sgst"`
	IssueDate         string        `json:"issue_date" format:"date"`
	DueDate           string        `json:"due_date" format:"date"`
	Notes             *string       `json:"notes"`
	Currency          string        `json:"currency"`
	Subtotal          int64         `json:"subtotal" doc:"In paise, as all amounts"`
	CGST              int64         `json:"cgst"`
	SGST              int64         `json:"sgst"`
	IGST              int64         `json:"igst"`
	Total             int64         `json:"total"`
	AmountPaid        int64         `json:"amount_paid"`
	AmountDue         int64         `json:"amount_due" doc:"0 when it is cancelled"`
	Supplier          *supplierView `json:"supplier"`
	Customer          *customerView `json:"customer"`
	SentAt            *time.Time    `json:"sent_at"`
	PaidAt            *time.Time    `json:"paid_at" doc:"Of the latest payment, once nothing is due"`
	CancelledAt       *time.Time    `json:"cancelled_at"`
	Version           int64         `json:"version"`
	CreatedAt         time.Time     `json:"created_at"`
	UpdatedAt         time.Time     `json:"updated_at"`
	Contact           *ContactView  `json:"contact,omitempty" doc:"In lists with include=contact: the contact as it is now"`
}

// invoiceDetail is an invoice as it is read by itself and answered by changes.
type invoiceDetail struct {
	InvoiceView
	Items    []invoiceItemView `json:"items"`
	Payments []paymentView     `json:"payments" doc:"Oldest first"`
	Insights []insightView     `json:"insights" doc:"What was found out about the invoice, one of each kind, the latest first"`
}

type invoiceItemView struct {
	Description string  `json:"description"`
	HSNSAC      *string `json:"hsn_sac"`
	Quantity    string  `json:"quantity" doc:"A decimal"`
	Unit        *string `json:"unit" doc:"In what the quantity is counted"`
	UnitPrice   int64   `json:"unit_price"`
	GSTRate     decimal `json:"gst_rate" doc:"In per cent"`
	Amount      int64   `json:"amount" doc:"Quantity times price, rounded half up to the paisa"`
	CGST        int64   `json:"cgst"`
	SGST        int64   `json:"sgst"`
	IGST        int64   `json:"igst"`
	Total       int64   `json:"total"`
}

type paymentView struct {
	ID        string    `json:"id" format:"uuid"`
	Amount    int64     `json:"amount"`
	Method    *string   `json:"method"`
	Reference *string   `json:"reference"`
	PaidAt    time.Time `json:"paid_at"`
	CreatedAt time.Time `json:"created_at"`
}

type supplierView store.Supplier

// Schema implements huma.SchemaProvider, as huma has no nullable objects of its own.
func (*supplierView) Schema(huma.Registry) *huma.Schema {
	return snapshotSchema("The organization as it was when the invoice was sent, null before",
		[]string{"name", "state", "state_code"}, []string{"gstin", "email", "address"})
}

type customerView store.Customer

// Schema implements huma.SchemaProvider.
func (*customerView) Schema(huma.Registry) *huma.Schema {
	return snapshotSchema("The contact as it was when the invoice was sent, null before",
		[]string{"name"}, []string{"company", "email", "gstin", "state", "state_code", "city", "address"})
}

// snapshotSchema describes a nullable object of texts, some of which may be null.
func snapshotSchema(description string, texts, nullable []string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: false, Description: description,
		Properties: map[string]*huma.Schema{}, Required: append(texts, nullable...)}
	for _, name := range texts {
		s.Properties[name] = &huma.Schema{Type: huma.TypeString}
	}
	for _, name := range nullable {
		s.Properties[name] = &huma.Schema{Type: huma.TypeString, Nullable: true}
	}
	return s
}

// decimal is a JSON number by its digits: no float ever stands for it.
type decimal string

// UnmarshalJSON implements json.Unmarshaler.
func (n *decimal) UnmarshalJSON(b []byte) error {
	*n = decimal(b)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (n decimal) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// Schema implements huma.SchemaProvider.
func (decimal) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeNumber} }

func invoiceViewOf(v store.Invoice) InvoiceView {
	return InvoiceView{
		ID: v.ID, ContactID: v.ContactID, Status: v.Status, Number: v.Number,
		PlaceOfSupply: v.PlaceOfSupply, PlaceOfSupplyCode: v.PlaceOfSupplyCode, InterState: v.InterState,
		IssueDate: v.IssueDate, DueDate: v.DueDate, Notes: v.Notes, Currency: v.Currency,
		Subtotal: v.Subtotal, CGST: v.CGST, SGST: v.SGST, IGST: v.IGST, Total: v.Total,
		AmountPaid: v.AmountPaid, AmountDue: v.AmountDue,
		Supplier: (*supplierView)(v.Supplier), Customer: (*customerView)(v.Customer),
		SentAt: utc(v.SentAt), PaidAt: utc(v.PaidAt), CancelledAt: utc(v.CancelledAt),
		Version: v.Version, CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(),
	}
}

func invoiceDetailOf(v store.Invoice) *versioned[invoiceDetail] {
	d := invoiceDetail{InvoiceView: invoiceViewOf(v), Insights: insightViewsOf(v.Insights),
		Items: make([]invoiceItemView, len(v.Items)), Payments: make([]paymentView, len(v.Payments))}
	for i, item := range v.Items {
		d.Items[i] = invoiceItemView{
			Description: item.Description, HSNSAC: item.HSNSAC, Quantity: gst.Quantity(item.Quantity).String(), Unit: item.Unit,
			UnitPrice: item.UnitPrice, GSTRate: decimal(gst.Rate(item.GSTRate).String()), Amount: item.Amount,
			CGST: item.CGST, SGST: item.SGST, IGST: item.IGST, Total: item.Total,
		}
	}
	for i, p := range v.Payments {
		d.Payments[i] = paymentView{ID: p.ID, Amount: p.Amount, Method: p.Method, Reference: p.Reference,
			PaidAt: p.PaidAt.UTC(), CreatedAt: p.CreatedAt.UTC()}
	}
	return versionedOf(detailTag(v.Version, v.Insights), d)
}

func invoicePath(id string) string { return "/api/invoices/" + id }

type getInvoiceInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

func (s *Server) getInvoice(ctx context.Context, in *getInvoiceInput) (*versioned[invoiceDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.DB.Invoice(ctx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return nil, err
	}
	return invoiceDetailOf(v).unless(in.IfNoneMatch), nil
}
