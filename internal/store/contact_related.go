package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// An Include says what is to be read together with contacts: at most so many of each contact, none for 0.
type Include struct {
	Deals          int // the open ones first, then the newest
	Invoices       int // the newest
	UnpaidInvoices int // the newest that were sent and are not paid; not together with Invoices
}

// Related is what was read together with a contact.
type Related struct {
	Deals    []Deal
	Invoices []Invoice // without items and payments
}

// The index has deals by contact, closed and id, so each half is a few entries of it.
const selectDealsOf = `
SELECT ` + dealColumns + ` FROM deals
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT picked.id FROM unnest($2::uuid[]) AS c (id) CROSS JOIN LATERAL (
        SELECT id FROM (
            (SELECT d.id, d.closed FROM deals d WHERE d.organization_id = $1 AND d.contact_id = c.id AND NOT d.closed
             ORDER BY d.id DESC LIMIT $3)
            UNION ALL
            (SELECT d.id, d.closed FROM deals d WHERE d.organization_id = $1 AND d.contact_id = c.id AND d.closed
             ORDER BY d.id DESC LIMIT $3)
        ) AS both_halves ORDER BY closed, id DESC LIMIT $3
    ) AS picked))
ORDER BY deals.closed, deals.id DESC`

const selectInvoicesOf = `
SELECT ` + invoiceColumns + ` FROM invoices
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT picked.id FROM unnest($2::uuid[]) AS c (id) CROSS JOIN LATERAL (
        SELECT id FROM (
            (SELECT i.id FROM invoices i WHERE i.organization_id = $1 AND i.contact_id = c.id AND i.unpaid
             ORDER BY i.id DESC LIMIT $3)
            UNION ALL
            (SELECT i.id FROM invoices i WHERE i.organization_id = $1 AND i.contact_id = c.id AND NOT i.unpaid
             ORDER BY i.id DESC LIMIT $3)
        ) AS both_halves ORDER BY id DESC LIMIT $3
    ) AS picked))
ORDER BY invoices.id DESC`

const selectUnpaidInvoicesOf = `
SELECT ` + invoiceColumns + ` FROM invoices
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT picked.id FROM unnest($2::uuid[]) AS c (id) CROSS JOIN LATERAL (
        SELECT i.id FROM invoices i WHERE i.organization_id = $1 AND i.contact_id = c.id AND i.unpaid
        ORDER BY i.id DESC LIMIT $3
    ) AS picked))
ORDER BY invoices.id DESC`

// related is what belongs to several contacts, in the order in which each is to have it.
type related struct {
	deals    []Deal
	invoices []Invoice
}

// queue adds the reads to a batch: one query for each kind of thing, however many contacts there are.
func (r *related) queue(b *pgx.Batch, organizationID string, contactIDs []string, want Include) {
	if want.Deals > 0 {
		b.Queue(selectDealsOf, organizationID, contactIDs, want.Deals).Query(func(rows pgx.Rows) (err error) {
			r.deals, err = pgx.CollectRows(rows, pgx.RowToStructByName[Deal])
			return err
		})
	}
	invoices := func(sql string, atMost int) {
		b.Queue(sql, organizationID, contactIDs, atMost).Query(func(rows pgx.Rows) (err error) {
			r.invoices, err = pgx.CollectRows(rows, pgx.RowToStructByName[Invoice])
			return err
		})
	}
	switch {
	case want.Invoices > 0:
		invoices(selectInvoicesOf, want.Invoices)
	case want.UnpaidInvoices > 0:
		invoices(selectUnpaidInvoicesOf, want.UnpaidInvoices)
	}
}

// byContact gives each contact its own.
func (r *related) byContact() map[string]Related {
	by := make(map[string]Related)
	for _, d := range r.deals {
		of := by[d.ContactID]
		of.Deals = append(of.Deals, d)
		by[d.ContactID] = of
	}
	for _, v := range r.invoices {
		of := by[v.ContactID]
		of.Invoices = append(of.Invoices, v)
		by[v.ContactID] = of
	}
	return by
}

// Related reads what belongs to contacts, by their ids, in one round trip.
func (db *DB) Related(ctx context.Context, organizationID string, contactIDs []string, want Include) (map[string]Related, error) {
	if want == (Include{}) || len(contactIDs) == 0 {
		return nil, nil
	}
	var all related
	b := BatchAs(organizationID)
	all.queue(b, organizationID, contactIDs, want)
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("read what belongs to %d contacts: %w", len(contactIDs), err)
	}
	return all.byContact(), nil
}
