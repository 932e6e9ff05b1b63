package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// An OverdueInvoice is an invoice whose due date has passed, as it is after it was marked.
type OverdueInvoice struct {
	OrganizationID string `db:"organization_id"`
	ID             string `db:"id"`
	ContactID      string `db:"contact_id"`
	Number         string `db:"number"`
	AmountDue      int64  `db:"amount_due"` // paise
	Currency       string `db:"currency"`
	DueDate        string `db:"due_date"` // YYYY-MM-DD
	Version        int64  `db:"version"`
}

// No zone is so far ahead that what is due after today in UTC could be overdue there: that bound is what the
// index serves. What somebody is changing at this moment is left to the next time.
const markOverdue = `
WITH late AS (
    SELECT i.organization_id, i.id FROM invoices i JOIN organizations o ON o.id = i.organization_id
    WHERE i.status = 'sent' AND i.due_date <= (now() AT TIME ZONE 'UTC')::date
      AND i.due_date < (now() AT TIME ZONE o.timezone)::date
    ORDER BY i.due_date LIMIT $1 FOR NO KEY UPDATE OF i SKIP LOCKED
)
UPDATE invoices SET status = 'overdue', version = version + 1, updated_at = now()
FROM late WHERE invoices.organization_id = late.organization_id AND invoices.id = late.id
RETURNING invoices.organization_id::text, invoices.id::text, invoices.contact_id::text, invoices.number,
    invoices.amount_due, invoices.currency, invoices.due_date::text, invoices.version`

// MarkOverdue makes sent invoices overdue whose due date is before today where their organization is: at
// most limit of them, of all organizations, those due first.
func MarkOverdue(ctx context.Context, tx pgx.Tx, limit int) ([]OverdueInvoice, error) {
	rows, err := tx.Query(ctx, markOverdue, limit)
	if err != nil {
		return nil, fmt.Errorf("mark overdue invoices: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[OverdueInvoice])
	if err != nil {
		return nil, fmt.Errorf("mark overdue invoices: %w", err)
	}
	return list, nil
}
