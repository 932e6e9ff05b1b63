package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// The ids are found with the owner's eyes, the invoices read under row-level security.
const searchInvoices = `
SELECT ` + invoiceColumns + ` FROM invoices
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT search_invoices($2::text[], nullif($3, ''), nullif($4, '')::uuid, nullif($5, '')::uuid, $6)))
ORDER BY invoices.id DESC`

// SearchInvoices lists the invoices of a filter that say all words, of which there is one at least, in number and
// customer's name, or whose contact has all in its name.
func (db *DB) SearchInvoices(ctx context.Context, organizationID string, w Words, f InvoiceFilter) ([]Invoice, error) {
	var list []Invoice
	b := BatchAs(organizationID)
	b.Queue(limitStatements, strconv.FormatInt(max(w.Within.Milliseconds(), 1), 10))
	b.Queue(searchInvoices, organizationID, w.contained, f.Status, f.ContactID, f.Before, f.Limit).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Invoice])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("search invoices of %s: %w", organizationID, tooSlow(err))
	}
	return list, nil
}
