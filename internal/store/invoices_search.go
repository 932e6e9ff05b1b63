package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The ids are found with the owner's eyes, the invoices read under row-level security.
const searchInvoices = `
SELECT ` + invoiceColumns + ` FROM invoices
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT search_invoices($2, nullif($3, ''), nullif($4, '')::uuid, nullif($5, '')::uuid, $6)))
ORDER BY invoices.id DESC`

// SearchInvoices lists the invoices of a filter whose number, customer's name or contact's name contains a
// text, in capitals or not. After the time within, it is ErrTooSlow.
func (db *DB) SearchInvoices(ctx context.Context, organizationID, text string, f InvoiceFilter, within time.Duration) ([]Invoice, error) {
	var list []Invoice
	b := BatchAs(organizationID)
	b.Queue(limitStatements, strconv.FormatInt(max(within.Milliseconds(), 1), 10))
	pattern := "%" + likeEscaper.Replace(strings.TrimSpace(text)) + "%"
	b.Queue(searchInvoices, organizationID, pattern, f.Status, f.ContactID, f.Before, f.Limit).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Invoice])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("search invoices of %s: %w", organizationID, tooSlow(err))
	}
	return list, nil
}
