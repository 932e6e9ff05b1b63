package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/rupees"
)

// demoCRM goes the way of one customer through the API: from a lead to a deal that is won, an invoice that is
// paid, and the dashboard that knows of it at once.
type demoCRM struct {
	api     client
	before  demoDashboard
	contact struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Counts struct {
			Deals    int `json:"deals"`
			Invoices int `json:"invoices"`
		} `json:"counts"`
	}
	deal struct {
		ID          string `json:"id"`
		Status      string `json:"status"`
		Value       int64  `json:"value"`
		Probability int    `json:"probability"`
	}
	invoice struct {
		ID        string  `json:"id"`
		Status    string  `json:"status"`
		Number    *string `json:"number"`
		Subtotal  int64   `json:"subtotal"`
		CGST      int64   `json:"cgst"`
		SGST      int64   `json:"sgst"`
		IGST      int64   `json:"igst"`
		Total     int64   `json:"total"`
		AmountDue int64   `json:"amount_due"`
	}
}

type demoDashboard struct {
	Contacts struct {
		Total int64 `json:"total"`
	} `json:"contacts"`
	Deals struct {
		Open          int64 `json:"open"`
		Won           int64 `json:"won"`
		PipelineValue int64 `json:"pipeline_value"`
	} `json:"deals"`
	Invoices struct {
		Paid        int64 `json:"paid"`
		Outstanding int64 `json:"outstanding"`
	} `json:"invoices"`
}

// A demoStep is one line of the demo.
type demoStep struct {
	what string
	run  func(context.Context) (string, error)
}

func (d *demoCRM) steps() []demoStep {
	return []demoStep{
		{"a contact", d.makeContact},
		{"a deal, moved to won", d.winDeal},
		{"an invoice, sent", d.sendInvoice},
		{"the invoice, paid", d.payInvoice},
		{"the customer at a glance", d.readContact},
		{"the dashboard", d.readDashboard},
	}
}

func (d *demoCRM) makeContact(ctx context.Context) (string, error) {
	// Read before anything changes: what comes afterwards must be seen, although it is cached.
	if err := d.api.do(ctx, http.MethodGet, "/api/dashboard/metrics", nil, &d.before); err != nil {
		return "", err
	}
	err := d.api.do(ctx, http.MethodPost, "/api/contacts", map[string]any{
		"name": "Asha Rao", "company": "Rao Textiles", "email": "asha@rao.example.com", "phone": "+91 98450 12345",
		"type": "customer", "stage": "customer", "source": "referral", "gstin": "29AAFFR4821K1ZW", "city": "Mysuru", "state": "Karnataka",
	}, &d.contact)
	return d.contact.Name + " of Rao Textiles, Mysuru", err
}

func (d *demoCRM) winDeal(ctx context.Context) (string, error) {
	err := d.api.do(ctx, http.MethodPost, "/api/deals", map[string]any{
		"contact_id": d.contact.ID, "title": "Yearly supply for Rao Textiles", "value": 1_75_000_00, "stage": "negotiation"}, &d.deal)
	if err != nil {
		return "", err
	}
	if err := d.api.do(ctx, http.MethodPatch, "/api/deals/"+d.deal.ID, map[string]any{"stage": "won"}, &d.deal); err != nil {
		return "", err
	}
	if d.deal.Status != "won" || d.deal.Probability != 100 {
		return "", fmt.Errorf("it is %s, at %d %%", d.deal.Status, d.deal.Probability)
	}
	return "won, " + rupees.Format(d.deal.Value), nil
}

func (d *demoCRM) sendInvoice(ctx context.Context) (string, error) {
	err := d.api.do(ctx, http.MethodPost, "/api/invoices", map[string]any{"contact_id": d.contact.ID, "items": []map[string]any{
		{"description": "Cotton fabric, metre", "hsn_sac": "5208", "quantity": "120.5", "unit_price": 210_00, "gst_rate": 5},
		{"description": "IT consulting, hour", "hsn_sac": "998313", "quantity": "6", "unit_price": 1800_00, "gst_rate": 18},
	}}, &d.invoice)
	if err != nil {
		return "", err
	}
	if err := d.api.do(ctx, http.MethodPost, "/api/invoices/"+d.invoice.ID+"/send", nil, &d.invoice); err != nil {
		return "", err
	}
	v := d.invoice
	// 120.5 × 210 and 6 × 1800, with 5 and 18 per cent within Karnataka.
	if v.Status != "sent" || v.Number == nil || v.Subtotal != 36_105_00 || v.CGST != 1_604_63 || v.SGST != v.CGST || v.IGST != 0 || v.Total != 39_314_26 {
		return "", fmt.Errorf("it is %+v", v)
	}
	return fmt.Sprintf("%s, %s with CGST %s and SGST %s", *v.Number, rupees.Format(v.Total), rupees.Format(v.CGST), rupees.Format(v.SGST)), nil
}

func (d *demoCRM) payInvoice(ctx context.Context) (string, error) {
	due := d.invoice.AmountDue
	err := d.api.do(ctx, http.MethodPost, "/api/invoices/"+d.invoice.ID+"/pay",
		map[string]any{"amount": due, "method": "upi", "reference": "UPI/402311907755"}, &d.invoice)
	if err != nil {
		return "", err
	}
	if d.invoice.Status != "paid" || d.invoice.AmountDue != 0 {
		return "", fmt.Errorf("it is %s, and %s are due", d.invoice.Status, rupees.Format(d.invoice.AmountDue))
	}
	return "paid by UPI, " + rupees.Format(due), nil
}

func (d *demoCRM) readContact(ctx context.Context) (string, error) {
	if err := d.api.do(ctx, http.MethodGet, "/api/contacts/"+d.contact.ID, nil, &d.contact); err != nil {
		return "", err
	}
	if n := d.contact.Counts; n.Deals != 1 || n.Invoices != 1 {
		return "", fmt.Errorf("it has %d deals and %d invoices, not one of each", n.Deals, n.Invoices)
	}
	return "1 deal, 1 invoice", nil
}

func (d *demoCRM) readDashboard(ctx context.Context) (string, error) {
	began := time.Now()
	var now demoDashboard
	if err := d.api.do(ctx, http.MethodGet, "/api/dashboard/metrics", nil, &now); err != nil {
		return "", err
	}
	took := time.Since(began)
	was := d.before
	if now.Contacts.Total <= was.Contacts.Total || now.Deals.Won <= was.Deals.Won || now.Invoices.Paid <= was.Invoices.Paid {
		return "", errors.New("it does not know yet of what has just happened")
	}
	return fmt.Sprintf("%d contacts, %d deals open worth %s, %d won, %d invoices paid, %s outstanding, in %s", now.Contacts.Total,
		now.Deals.Open, rupees.Format(now.Deals.PipelineValue), now.Deals.Won, now.Invoices.Paid, rupees.Format(now.Invoices.Outstanding), ms(took)), nil
}
