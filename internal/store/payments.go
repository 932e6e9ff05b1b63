package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Payment is money that came in for an invoice.
type Payment struct {
	ID        string    `db:"id"`
	Amount    int64     `db:"amount"` // paise
	Method    *string   `db:"method"`
	Reference *string   `db:"reference"`
	PaidAt    time.Time `db:"paid_at"`
	CreatedAt time.Time `db:"created_at"`
}

const paymentColumns = `payments.id::text, payments.amount, payments.method, payments.reference, payments.paid_at, payments.created_at`

const selectPayments = `
SELECT ` + paymentColumns + ` FROM payments WHERE organization_id = $1 AND invoice_id = $2 ORDER BY payments.id`

const insertPayment = `
INSERT INTO payments (organization_id, id, invoice_id, amount, method, reference, paid_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// The last payment makes an invoice paid, as of the latest of them: they need not be told in their order.
const payInvoice = `
UPDATE invoices
SET amount_paid = amount_paid + $3, status = CASE WHEN amount_due = $3 THEN 'paid' ELSE status END,
    paid_at = CASE WHEN amount_due = $3 THEN (
        SELECT max(paid_at) FROM payments WHERE organization_id = $1 AND invoice_id = $2) END,
    version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND status IN ('sent', 'overdue') AND amount_due >= $3
RETURNING ` + invoiceColumns

// PayInvoice adds a payment to an invoice that the transaction has locked. ErrConflict: it is not due, or
// less than that is.
func PayInvoice(ctx context.Context, tx pgx.Tx, organizationID string, v Invoice, p Payment) (Invoice, error) {
	paid := v
	b := &pgx.Batch{}
	b.Queue(insertPayment, organizationID, p.ID, v.ID, p.Amount, p.Method, p.Reference, p.PaidAt)
	queueChange(b, &paid, payInvoice, organizationID, v.ID, p.Amount)
	b.Queue(selectPayments, organizationID, v.ID).Query(func(rows pgx.Rows) (err error) {
		paid.Payments, err = pgx.CollectRows(rows, pgx.RowToStructByName[Payment])
		return err
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("pay invoice %s: %w", v.ID, err)
	}
	return paid, nil
}
