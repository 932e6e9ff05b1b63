package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A MailSender is the organization that a mail is from.
type MailSender struct {
	Name    string  `db:"organization_name"`
	Email   *string `db:"organization_email"`
	Address *string `db:"organization_address"`
}

const mailSenderColumns = `o.name AS organization_name, o.email AS organization_email, o.address AS organization_address`

// An InvoiceToMail is what a mail about an invoice says, and where it goes. Amounts are in paise and dates YYYY-MM-DD.
type InvoiceToMail struct {
	MailSender
	ContactID   string    `db:"contact_id"`
	ContactName string    `db:"contact_name"`
	Email       *string   `db:"contact_email"` // of the contact as it is now; nil: there is none
	Customer    *Customer `db:"customer"`      // as the invoice says
	Number      string    `db:"number"`        // empty before it is sent
	Status      string    `db:"status"`
	IssueDate   string    `db:"issue_date"`
	DueDate     string    `db:"due_date"`
	DaysOverdue int       `db:"days_overdue"` // of the organization's calendar; 0 until the day after the due date
	Subtotal    int64     `db:"subtotal"`
	Tax         int64     `db:"tax"`
	Total       int64     `db:"total"`
	AmountPaid  int64     `db:"amount_paid"`
	AmountDue   int64     `db:"amount_due"`
	Notes       *string   `db:"notes"`
	ItemCount   int64     `db:"item_count"`
	Items       []MailItem
	ItemsJSON   json.RawMessage `db:"items"`
}

// A MailItem is a line of an invoice as a mail shows it.
type MailItem struct {
	Description string `json:"description"`
	Quantity    string `json:"quantity"`
	Amount      int64  `json:"amount"`
}

const selectInvoiceToMail = `
SELECT ` + mailSenderColumns + `, c.id::text AS contact_id, c.name AS contact_name, c.email AS contact_email, v.customer,
       coalesce(v.number, '') AS number, v.status, v.issue_date::text, v.due_date::text,
       greatest((now() AT TIME ZONE o.timezone)::date - v.due_date, 0) AS days_overdue,
       v.subtotal, v.cgst + v.sgst + v.igst AS tax, v.total, v.amount_paid,
       CASE WHEN v.status = 'cancelled' THEN 0 ELSE v.amount_due END AS amount_due, v.notes,
       (SELECT count(*) FROM invoice_items i WHERE i.organization_id = v.organization_id AND i.invoice_id = v.id) AS item_count,
       (SELECT coalesce(jsonb_agg(to_jsonb(x) - 'position' ORDER BY x.position), '[]') FROM (
            SELECT i.position, i.description, trim_scale(i.quantity)::text AS quantity, i.amount FROM invoice_items i
            WHERE i.organization_id = v.organization_id AND i.invoice_id = v.id ORDER BY i.position LIMIT $3) x) AS items
FROM invoices v
JOIN contacts c ON c.organization_id = v.organization_id AND c.id = v.contact_id
JOIN organizations o ON o.id = v.organization_id
WHERE v.organization_id = $1 AND v.id = $2`

// InvoiceToMail reads what a mail about an invoice says, with so many of its items at most, in one query; ErrNotFound
// when there is no such invoice.
func (db *DB) InvoiceToMail(ctx context.Context, organizationID, invoiceID string, items int) (v InvoiceToMail, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		v, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByNameLax[InvoiceToMail])
		return notFound(err)
	}, selectInvoiceToMail, organizationID, invoiceID, items)
	if err == nil {
		err = json.Unmarshal(v.ItemsJSON, &v.Items)
	}
	if err != nil {
		return v, fmt.Errorf("read what a mail says about invoice %s: %w", invoiceID, err)
	}
	return v, nil
}

// A DealToMail is what a mail about a deal that was won says.
type DealToMail struct {
	MailSender
	Title          string  `db:"title"`
	Value          int64   `db:"value"`  // paise
	WonOn          *string `db:"won_on"` // YYYY-MM-DD; nil: it is not won
	ContactID      string  `db:"contact_id"`
	ContactName    string  `db:"contact_name"`
	ContactCompany *string `db:"contact_company"`
	ContactEmail   *string `db:"contact_email"`
	ContactPhone   *string `db:"contact_phone"`
}

const selectDealToMail = `
SELECT ` + mailSenderColumns + `, d.title, d.value, CASE WHEN d.stage = 'won' THEN (d.closed_at AT TIME ZONE o.timezone)::date::text END AS won_on,
       c.id::text AS contact_id, c.name AS contact_name, c.company AS contact_company, c.email AS contact_email, c.phone AS contact_phone
FROM deals d
JOIN contacts c ON c.organization_id = d.organization_id AND c.id = d.contact_id
JOIN organizations o ON o.id = d.organization_id
WHERE d.organization_id = $1 AND d.id = $2`

// DealToMail reads what a mail about a deal says, in one query; ErrNotFound when there is no such deal.
func (db *DB) DealToMail(ctx context.Context, organizationID, dealID string) (d DealToMail, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[DealToMail])
		return notFound(err)
	}, selectDealToMail, organizationID, dealID)
	if err != nil {
		return d, fmt.Errorf("read what a mail says about deal %s: %w", dealID, err)
	}
	return d, nil
}

const insertUnsentMail = `
WITH mail AS (
    INSERT INTO mail_messages (organization_id, id, state, stream, template, on_unknown, invoice_id, deal_id, contact_id)
    VALUES ($1, $2, 'cancelled', $3, $4, $5, $6, $7, $8)
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING organization_id, id
)
INSERT INTO mail_events (organization_id, id, message_id, type, detail)
SELECT organization_id, $9, id, $10, $11 FROM mail`

// UnsentMail notes a mail that was to be, has no job, and will not be sent, with the line of its timeline that says
// why. A second time changes nothing.
func (db *DB) UnsentMail(ctx context.Context, m Mail, why MailEvent) error {
	_, err := db.exec(ctx, insertUnsentMail, m.OrganizationID, m.ID, m.Stream, m.Template, UnknownResend, m.InvoiceID,
		m.DealID, m.ContactID, why.ID, why.Type, why.Detail)
	if err != nil {
		return fmt.Errorf("note mail %s, which is not sent: %w", m.ID, err)
	}
	return nil
}
