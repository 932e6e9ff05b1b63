package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// InvoiceParties are those whom an invoice is between, as they are now.
type InvoiceParties struct {
	Organization Organization
	Today        string // in the organization's time zone
	Contact      Customer
}

const selectToday = `SELECT (now() AT TIME ZONE timezone)::date::text FROM organizations WHERE id = $1`

// The contact can't be deleted until the transaction ends.
const selectCustomer = `
SELECT name, company, email, gstin, state, city, address FROM contacts WHERE organization_id = $1 AND id = $2 FOR KEY SHARE`

// PartiesOfInvoice reads who an invoice is between. ErrNotFound: there is no such contact.
func PartiesOfInvoice(ctx context.Context, tx pgx.Tx, organizationID, contactID string) (InvoiceParties, error) {
	var p InvoiceParties
	b := &pgx.Batch{}
	b.Queue(selectOrganization, organizationID).Query(func(rows pgx.Rows) (err error) {
		p.Organization, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organization])
		return err
	})
	b.Queue(selectToday, organizationID).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Today) })
	b.Queue(selectCustomer, organizationID, contactID).QueryRow(func(row pgx.Row) error {
		c := &p.Contact
		return notFound(row.Scan(&c.Name, &c.Company, &c.Email, &c.GSTIN, &c.State, &c.City, &c.Address))
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return p, fmt.Errorf("read the parties of an invoice to %s: %w", contactID, err)
	}
	return p, nil
}

const insertInvoice = `
INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, place_of_supply_given,
    inter_state, issue_date, due_date, notes, subtotal, cgst, sgst, igst, total)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
RETURNING ` + invoiceColumns

// CreateInvoice inserts a draft with its items.
func CreateInvoice(ctx context.Context, tx pgx.Tx, organizationID string, v Invoice) (Invoice, error) {
	created := v
	b := &pgx.Batch{}
	queueChange(b, &created, insertInvoice, organizationID, v.ID, v.ContactID, v.PlaceOfSupply, v.PlaceOfSupplyCode,
		v.PlaceGiven, v.InterState, v.IssueDate, v.DueDate, v.Notes, v.Subtotal, v.CGST, v.SGST, v.IGST, v.Total)
	queueItems(b, organizationID, v)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("create invoice %s: %w", v.ID, err)
	}
	return created, nil
}

const deleteItems = `DELETE FROM invoice_items WHERE organization_id = $1 AND invoice_id = $2`

const insertItems = `
INSERT INTO invoice_items (organization_id, invoice_id, position, description, hsn_sac, quantity, unit_price, gst_rate,
    amount, cgst, sgst, igst, total, unit)
SELECT $1, $2, position, description, hsn_sac, quantity::numeric / 1000, unit_price, gst_rate, amount, cgst, sgst, igst, total, unit
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::text[])
    WITH ORDINALITY AS item (description, hsn_sac, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total, unit, position)`

func queueItems(b *pgx.Batch, organizationID string, v Invoice) {
	n := len(v.Items)
	descriptions, codes, units, rates := make([]string, n), make([]*string, n), make([]*string, n), make([]int32, n)
	quantities, prices := make([]int64, n), make([]int64, n)
	amounts, cgst, sgst, igst, totals := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, item := range v.Items {
		descriptions[i], codes[i], quantities[i], prices[i] = item.Description, item.HSNSAC, item.Quantity, item.UnitPrice
		rates[i], amounts[i], totals[i], units[i] = item.GSTRate, item.Amount, item.Total, item.Unit
		cgst[i], sgst[i], igst[i] = item.CGST, item.SGST, item.IGST
	}
	b.Queue(insertItems, organizationID, v.ID, descriptions, codes, quantities, prices, rates, amounts, cgst, sgst, igst, totals, units)
}

const updateInvoice = `
UPDATE invoices
SET contact_id = $4, place_of_supply = $5, place_of_supply_code = $6, inter_state = $7, issue_date = $8, due_date = $9,
    notes = $10, subtotal = $11, cgst = $12, sgst = $13, igst = $14, total = $15, status = $16,
    place_of_supply_given = $17, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3
RETURNING ` + invoiceColumns

// Items says whether a change of an invoice touches its items.
type Items int

// The items stay as they are, or those that the invoice has now take their place.
const (
	KeepItems Items = iota
	ReplaceItems
)

// UpdateInvoice writes what may change about an invoice that the transaction has locked.
func UpdateInvoice(ctx context.Context, tx pgx.Tx, organizationID string, v Invoice, items Items) (Invoice, error) {
	updated := v
	b := &pgx.Batch{}
	if items == ReplaceItems {
		b.Queue(deleteItems, organizationID, v.ID)
		queueItems(b, organizationID, v)
	}
	queueChange(b, &updated, updateInvoice, organizationID, v.ID, v.Version, v.ContactID, v.PlaceOfSupply, v.PlaceOfSupplyCode,
		v.InterState, v.IssueDate, v.DueDate, v.Notes, v.Subtotal, v.CGST, v.SGST, v.IGST, v.Total, v.Status, v.PlaceGiven)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("update invoice %s: %w", v.ID, err)
	}
	return updated, nil
}

const cancelInvoice = `
UPDATE invoices SET status = 'cancelled', cancelled_at = now(), version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND status IN ('draft', 'sent', 'overdue') AND amount_paid = 0
RETURNING ` + invoiceColumns

// CancelInvoice ends an invoice that the transaction has locked. ErrConflict: it has ended, or has payments.
func CancelInvoice(ctx context.Context, tx pgx.Tx, organizationID string, v Invoice) (Invoice, error) {
	cancelled := v
	b := &pgx.Batch{}
	queueChange(b, &cancelled, cancelInvoice, organizationID, v.ID)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return v, fmt.Errorf("cancel invoice %s: %w", v.ID, err)
	}
	return cancelled, nil
}

const deleteInvoice = `DELETE FROM invoices WHERE organization_id = $1 AND id = $2 AND status = 'draft'`

// DeleteInvoice deletes a draft with its items. ErrConflict: it is none.
func DeleteInvoice(ctx context.Context, tx pgx.Tx, organizationID, id string) error {
	b := &pgx.Batch{}
	b.Queue(deleteInvoice, organizationID, id).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return ErrConflict
		}
		return nil
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("delete invoice %s: %w", id, err)
	}
	return nil
}

// queueChange reads the row as it is after a write into v, which keeps its items, payments and insights.
func queueChange(b *pgx.Batch, v *Invoice, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		changed, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Invoice])
		if notFound(err) == ErrNotFound {
			return ErrConflict
		}
		if err != nil {
			return err
		}
		changed.Items, changed.Payments, changed.Insights = v.Items, v.Payments, v.Insights
		*v = changed
		return nil
	})
}
