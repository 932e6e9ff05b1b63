package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Statuses of an invoice. They go one way, but that an overdue invoice whose due date is put off is sent again.
const (
	InvoiceDraft     = "draft"
	InvoiceSent      = "sent"
	InvoicePaid      = "paid"
	InvoiceOverdue   = "overdue"
	InvoiceCancelled = "cancelled"
)

// An Invoice asks a contact for money. Amounts are in paise and dates YYYY-MM-DD.
type Invoice struct {
	ID                string     `db:"id"`
	ContactID         string     `db:"contact_id"`
	Status            string     `db:"status"`
	Number            *string    `db:"number"`                // nil before it is sent
	PlaceOfSupply     string     `db:"place_of_supply"`       // as the client wrote it, or the name of the state
	PlaceOfSupplyCode string     `db:"place_of_supply_code"`  // GST's code of that state
	PlaceGiven        bool       `db:"place_of_supply_given"` // by the client; otherwise it follows the contact until it is sent
	InterState        bool       `db:"inter_state"`
	IssueDate         string     `db:"issue_date"`
	DueDate           string     `db:"due_date"`
	Notes             *string    `db:"notes"`
	Currency          string     `db:"currency"`
	Subtotal          int64      `db:"subtotal"`
	CGST              int64      `db:"cgst"`
	SGST              int64      `db:"sgst"`
	IGST              int64      `db:"igst"`
	Total             int64      `db:"total"`
	AmountPaid        int64      `db:"amount_paid"`
	AmountDue         int64      `db:"amount_due"` // 0 of a cancelled one
	Supplier          *Supplier  `db:"supplier"`   // both are nil before it is sent
	Customer          *Customer  `db:"customer"`
	SentAt            *time.Time `db:"sent_at"`
	PaidAt            *time.Time `db:"paid_at"` // of the latest payment, once nothing is due
	CancelledAt       *time.Time `db:"cancelled_at"`
	Version           int64      `db:"version"`
	CreatedAt         time.Time  `db:"created_at"`
	UpdatedAt         time.Time  `db:"updated_at"`

	Items    []InvoiceItem `db:"-"` // in their order; lists leave all three out
	Payments []Payment     `db:"-"` // oldest first
	Insights []Insight     `db:"-"` // the latest first
}

// An InvoiceItem is a line of an invoice.
type InvoiceItem struct {
	Description string  `db:"description" json:"description"`
	HSNSAC      *string `db:"hsn_sac" json:"hsn_sac"`
	Quantity    int64   `db:"quantity" json:"quantity"`     // thousandths
	Unit        *string `db:"unit" json:"unit"`             // of the quantity
	UnitPrice   int64   `db:"unit_price" json:"unit_price"` // paise, as all that follow but the rate
	GSTRate     int32   `db:"gst_rate" json:"gst_rate"`     // hundredths of a per cent
	Amount      int64   `db:"amount" json:"amount"`
	CGST        int64   `db:"cgst" json:"cgst"`
	SGST        int64   `db:"sgst" json:"sgst"`
	IGST        int64   `db:"igst" json:"igst"`
	Total       int64   `db:"total" json:"total"`
}

// A Supplier is an organization as it was when it sent an invoice.
type Supplier struct {
	Name      string  `json:"name"`
	GSTIN     *string `json:"gstin"`
	State     string  `json:"state"`
	StateCode string  `json:"state_code"`
	Email     *string `json:"email"`
	Address   *string `json:"address"` // nil as well in those of before there were any
}

// A Customer is a contact as it was when it was sent an invoice.
type Customer struct {
	Name      string  `json:"name"`
	Company   *string `json:"company"`
	Email     *string `json:"email"`
	GSTIN     *string `json:"gstin"`
	State     *string `json:"state"`
	StateCode *string `json:"state_code"` // GST's code of State; nil where that is none of India
	City      *string `json:"city"`
	Address   *string `json:"address"`
}

// What was cancelled asks for nothing, while the column of the table is what was not paid.
const invoiceColumns = `invoices.id::text, invoices.contact_id::text, invoices.status, invoices.number,
    invoices.place_of_supply, invoices.place_of_supply_code, invoices.place_of_supply_given, invoices.inter_state,
    invoices.issue_date::text, invoices.due_date::text, invoices.notes, invoices.currency,
    invoices.subtotal, invoices.cgst, invoices.sgst, invoices.igst, invoices.total,
    invoices.amount_paid, CASE invoices.status WHEN 'cancelled' THEN 0 ELSE invoices.amount_due END AS amount_due,
    invoices.supplier, invoices.customer,
    invoices.sent_at, invoices.paid_at, invoices.cancelled_at, invoices.version, invoices.created_at, invoices.updated_at`

const selectInvoice = `SELECT ` + invoiceColumns + ` FROM invoices WHERE organization_id = $1 AND id = $2`

const selectItems = `
SELECT description, hsn_sac, (quantity * 1000)::bigint AS quantity, unit, unit_price, gst_rate, amount, cgst, sgst, igst, total
FROM invoice_items WHERE organization_id = $1 AND invoice_id = $2 ORDER BY position`

// Invoice reads one invoice with its items, payments and insights.
func (db *DB) Invoice(ctx context.Context, organizationID, id string) (Invoice, error) {
	var v Invoice
	b := BatchAs(organizationID)
	queueInvoice(b, &v, selectInvoice, organizationID, id)
	if err := db.Send(ctx, b); err != nil {
		return v, fmt.Errorf("read invoice %s: %w", id, err)
	}
	return v, nil
}

// LockInvoice reads one invoice with its items, payments and insights, and keeps others from changing it until the
// transaction ends. Whoever refers to it is not kept waiting: only deletion needs the key.
func LockInvoice(ctx context.Context, tx pgx.Tx, organizationID, id string) (Invoice, error) {
	var v Invoice
	b := &pgx.Batch{}
	queueInvoice(b, &v, selectInvoice+` FOR NO KEY UPDATE`, organizationID, id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("lock invoice %s: %w", id, err)
	}
	return v, nil
}

// queueInvoice reads an invoice, and then what belongs to it: items and payments change only under the
// lock of their invoice, which the first of the queries may have waited for.
func queueInvoice(b *pgx.Batch, v *Invoice, sql, organizationID, id string) {
	b.Queue(sql, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		*v, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Invoice])
		return notFound(err)
	})
	b.Queue(selectItems, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		v.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[InvoiceItem])
		return err
	})
	b.Queue(selectPayments, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		v.Payments, err = pgx.CollectRows(rows, pgx.RowToStructByName[Payment])
		return err
	})
	queueInsights(b, &v.Insights, selectInsightsOfInvoice, organizationID, id)
}

// InvoiceFilter says which invoices a list has. Empty fields don't count.
type InvoiceFilter struct {
	Status    string
	ContactID string
	Before    string // id: only older ones
	Limit     int
}

// Invoices lists an organization's invoices, newest first, without items and payments.
func (db *DB) Invoices(ctx context.Context, organizationID string, f InvoiceFilter) ([]Invoice, error) {
	sql, args := f.query(organizationID)
	var list []Invoice
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Invoice])
		return err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list invoices of %s: %w", organizationID, err)
	}
	return list, nil
}

// query spells only the conditions that there are, so that each combination is planned with its index.
func (f InvoiceFilter) query(organizationID string) (sql string, args []any) {
	var where strings.Builder
	and := func(condition string, value any) {
		args = append(args, value)
		where.WriteString(condition + "$" + strconv.Itoa(len(args)))
	}
	and(`organization_id = `, organizationID)
	if f.Status != "" {
		and(` AND status = `, f.Status)
	}
	if f.ContactID != "" {
		and(` AND contact_id = `, f.ContactID)
	}
	if f.Before != "" {
		and(` AND id < `, f.Before)
	}
	and(` ORDER BY invoices.id DESC LIMIT `, f.Limit)
	return `SELECT ` + invoiceColumns + ` FROM invoices WHERE ` + where.String(), args
}
