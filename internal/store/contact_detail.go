package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ContactCounts says how much there is of a contact.
type ContactCounts struct {
	Deals          int `db:"deals"`
	OpenDeals      int `db:"open_deals"`
	Invoices       int `db:"invoices"`
	UnpaidInvoices int `db:"unpaid_invoices"` // sent or overdue
}

// A ContactDetail is a contact with what belongs to it.
type ContactDetail struct {
	Contact
	Counts ContactCounts
}

const selectContact = `SELECT ` + contactColumns + ` FROM contacts WHERE organization_id = $1 AND id = $2`

const countOfContact = `
SELECT d.deals, d.open_deals, i.invoices, i.unpaid_invoices
FROM (SELECT count(*) AS deals, count(*) FILTER (WHERE NOT closed) AS open_deals
      FROM deals WHERE organization_id = $1 AND contact_id = $2) d,
     (SELECT count(*) AS invoices, count(*) FILTER (WHERE unpaid) AS unpaid_invoices
      FROM invoices WHERE organization_id = $1 AND contact_id = $2) i`

// Contact reads one contact of an organization with its counts, in one round trip.
func (db *DB) Contact(ctx context.Context, organizationID, id string) (ContactDetail, error) {
	var c ContactDetail
	b := BatchAs(organizationID)
	b.Queue(selectContact, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		c.Contact, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Contact])
		return notFound(err)
	})
	b.Queue(countOfContact, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		c.Counts, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ContactCounts])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return c, fmt.Errorf("read contact %s: %w", id, err)
	}
	return c, nil
}
