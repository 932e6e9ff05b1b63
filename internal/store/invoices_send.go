package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Everybody who sends in this organization and financial year waits here for the one before to commit.
const nextInvoiceSequence = `
INSERT INTO invoice_counters AS counter (organization_id, financial_year, last) VALUES ($1, $2, 1)
ON CONFLICT (organization_id, financial_year) DO UPDATE
SET last = counter.last + 1, version = counter.version + 1, updated_at = now()
RETURNING last`

const sendInvoice = `
UPDATE invoices
SET status = 'sent', financial_year = $4, sequence = $5, number = $6, supplier = $7, customer = $8,
    place_of_supply = $9, place_of_supply_code = $10, inter_state = $11,
    subtotal = $12, cgst = $13, sgst = $14, igst = $15, total = $16,
    sent_at = now(), version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3 AND status = 'draft'
RETURNING ` + invoiceColumns

// SendInvoice gives a draft that the transaction has locked the next number of its financial year and makes
// it sent, with the place of supply, sums, Supplier and Customer that v has. Its items are written anew if asked to.
//
// The counter is the last lock that a transaction takes: whoever holds it never waits for another, so
// senders wait for each other's commits and for nothing else. A rollback takes the number back.
func SendInvoice(ctx context.Context, tx pgx.Tx, organizationID string, v Invoice, items Items,
	year int, number func(year, sequence int) string) (Invoice, error) {
	if items == ReplaceItems {
		b := &pgx.Batch{}
		b.Queue(deleteItems, organizationID, v.ID)
		queueItems(b, organizationID, v)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return v, fmt.Errorf("tax invoice %s again: %w", v.ID, err)
		}
	}
	var sequence int
	if err := tx.QueryRow(ctx, nextInvoiceSequence, organizationID, year).Scan(&sequence); err != nil {
		return v, fmt.Errorf("number invoice %s: %w", v.ID, err)
	}
	sent := v
	b := &pgx.Batch{}
	queueChange(b, &sent, sendInvoice, organizationID, v.ID, v.Version, year, sequence, number(year, sequence),
		v.Supplier, v.Customer, v.PlaceOfSupply, v.PlaceOfSupplyCode, v.InterState, v.Subtotal, v.CGST, v.SGST, v.IGST, v.Total)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("send invoice %s: %w", v.ID, err)
	}
	return sent, nil
}
