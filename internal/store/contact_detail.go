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

// A ContactDetail is a contact with how much there is of it, with what was found out about it, and with some of that where it was asked for.
type ContactDetail struct {
	Contact
	ContactCounts
	Related  Related   `db:"-"`
	Insights []Insight `db:"-"` // the latest first
}

const selectContact = `
SELECT ` + contactColumns + `, deals, open_deals, invoices, unpaid_invoices
FROM contacts
CROSS JOIN LATERAL (
    SELECT count(*) AS deals, count(*) FILTER (WHERE NOT closed) AS open_deals
    FROM deals WHERE organization_id = $1 AND contact_id = $2) AS d
CROSS JOIN LATERAL (
    SELECT count(*) AS invoices, count(*) FILTER (WHERE unpaid) AS unpaid_invoices
    FROM invoices WHERE organization_id = $1 AND contact_id = $2) AS i
WHERE contacts.organization_id = $1 AND contacts.id = $2`

// LockContact reads one contact as it is now, with its counts and insights. Nobody else changes it before the transaction ends.
func LockContact(ctx context.Context, tx pgx.Tx, organizationID, id string) (ContactDetail, error) {
	var c ContactDetail
	b := &pgx.Batch{}
	queueContact(b, &c, selectContact+forChange+` OF contacts`, organizationID, id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return c, fmt.Errorf("lock contact %s: %w", id, err)
	}
	return c, nil
}

// queueContact reads a contact, and what was found out about it.
func queueContact(b *pgx.Batch, c *ContactDetail, sql, organizationID, id string) {
	b.Queue(sql, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		*c, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ContactDetail])
		return notFound(err)
	})
	queueInsights(b, &c.Insights, selectInsightsOfContact, organizationID, id)
}

// Contact reads one contact of an organization with its counts and insights, and what else is wanted of it, in one round trip.
func (db *DB) Contact(ctx context.Context, organizationID, id string, want Include) (ContactDetail, error) {
	var c ContactDetail
	b := BatchAs(organizationID)
	queueContact(b, &c, selectContact, organizationID, id)
	var all related
	all.queue(b, organizationID, []string{id}, want)
	if err := db.Send(ctx, b); err != nil {
		return c, fmt.Errorf("read contact %s: %w", id, err)
	}
	c.Related = all.byContact()[id]
	return c, nil
}
