package store

import (
	"context"
	"fmt"
	"time"
)

// InvoiceFacts is what can be said about an invoice: itself, and all about its contact. Amounts are in paise and
// dates YYYY-MM-DD.
type InvoiceFacts struct {
	ContactFacts
	InvoiceID     string  `db:"invoice_id"`
	Number        *string `db:"invoice_number"` // nil before it is sent
	InvoiceStatus string  `db:"invoice_status"`
	IssueDate     string  `db:"invoice_issued"`
	DueDate       string  `db:"invoice_due"`
	Subtotal      int64   `db:"invoice_subtotal"`
	Tax           int64   `db:"invoice_tax"`
	Total         int64   `db:"invoice_total"`
	AmountPaid    int64   `db:"invoice_paid"`
	AmountDue     int64   `db:"invoice_amount_due"`
	// Customer is who bought, as the invoice says; nil before it is sent.
	Customer *Customer `db:"invoice_customer"`
}

const selectInvoiceFacts = `
SELECT v.id::text AS invoice_id, v.number AS invoice_number, v.status AS invoice_status, v.issue_date::text AS invoice_issued,
       v.due_date::text AS invoice_due, v.subtotal AS invoice_subtotal, v.cgst + v.sgst + v.igst AS invoice_tax,
       v.total AS invoice_total, v.amount_paid AS invoice_paid, v.amount_due AS invoice_amount_due,
       v.customer AS invoice_customer,` + contactFactsColumns + `
FROM invoices v
JOIN contacts c ON c.organization_id = v.organization_id AND c.id = v.contact_id` + contactFactsFrom + `
WHERE v.organization_id = $1 AND v.id = $2`

// InvoiceFacts reads what there is to know of an invoice at a moment, in one query; ErrNotFound when there is no such invoice.
func (db *DB) InvoiceFacts(ctx context.Context, organizationID, invoiceID string, now time.Time) (InvoiceFacts, error) {
	f, err := factsOf[InvoiceFacts](ctx, db, selectInvoiceFacts, organizationID, invoiceID, now)
	if err != nil {
		return f, fmt.Errorf("read the facts about invoice %s: %w", invoiceID, err)
	}
	return f, nil
}
