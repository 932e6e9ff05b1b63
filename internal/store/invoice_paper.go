package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// An InvoicePaper is all that an invoice says on paper. Items, payments and insights of the Invoice in it are empty.
type InvoicePaper struct {
	Invoice
	Lines []InvoiceItem `db:"lines"`
	// As they were when it was sent; before, as they are now.
	Seller              Supplier `db:"seller"`
	Buyer               Customer `db:"buyer"`
	OrganizationVersion int64    `db:"organization_version"`
	ContactVersion      int64    `db:"contact_version"`
}

// Edition names what the paper says: another edition says something else.
func (p InvoicePaper) Edition() string {
	if p.Supplier != nil && p.Customer != nil {
		return strconv.FormatInt(p.Version, 10)
	}
	return fmt.Sprintf("%d-%d-%d", p.Version, p.OrganizationVersion, p.ContactVersion)
}

// One statement, so that the versions are of what is read.
const selectInvoicePaper = `
SELECT ` + invoiceColumns + `,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('description', description, 'hsn_sac', hsn_sac,
            'quantity', (quantity * 1000)::bigint, 'unit', unit, 'unit_price', unit_price, 'gst_rate', gst_rate,
            'amount', amount, 'cgst', cgst, 'sgst', sgst, 'igst', igst, 'total', total) ORDER BY position), '[]')
        FROM invoice_items WHERE organization_id = $1 AND invoice_id = $2) AS lines,
    coalesce(invoices.supplier, jsonb_build_object('name', o.name, 'gstin', o.gstin, 'state', o.state,
        'email', o.email, 'address', o.address)) AS seller,
    coalesce(invoices.customer, jsonb_build_object('name', c.name, 'company', c.company, 'email', c.email,
        'gstin', c.gstin, 'state', c.state, 'city', c.city, 'address', c.address)) AS buyer,
    o.version AS organization_version, c.version AS contact_version
FROM invoices
JOIN organizations o ON o.id = invoices.organization_id
JOIN contacts c ON c.organization_id = invoices.organization_id AND c.id = invoices.contact_id
WHERE invoices.organization_id = $1 AND invoices.id = $2`

// InvoicePaper reads what an invoice says on paper, in one query; ErrNotFound when there is no such invoice.
func (db *DB) InvoicePaper(ctx context.Context, organizationID, id string) (InvoicePaper, error) {
	var p InvoicePaper
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		p, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[InvoicePaper])
		return notFound(err)
	}, selectInvoicePaper, organizationID, id)
	if err != nil {
		return p, fmt.Errorf("read what invoice %s says: %w", id, err)
	}
	return p, nil
}
