package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A DueReminder is a step of an overdue invoice whose day has come: so many days after the due date.
type DueReminder struct {
	OrganizationID string `db:"organization_id"`
	InvoiceID      string `db:"invoice_id"`
	ContactID      string `db:"contact_id"`
	Step           int    `db:"step"`
}

// A step is due from ten in the morning on, where the organization is. Of several only the latest counts: who was
// left alone for weeks gets one letter and not four, nor two within a day, so that what was missed is left out where
// the next step is about to come. Without an address nothing is written, and no model asked.
const dueReminders = `
SELECT i.organization_id::text, i.id::text AS invoice_id, i.contact_id::text, due.step
FROM organizations o
CROSS JOIN LATERAL (SELECT now() AT TIME ZONE o.timezone AS shows) clock
JOIN invoices i ON i.organization_id = o.id AND i.status = 'overdue'
JOIN contacts c ON c.organization_id = i.organization_id AND c.id = i.contact_id AND c.email IS NOT NULL
CROSS JOIN LATERAL (
    SELECT max(step) FILTER (WHERE begins <= clock.shows) AS step, min(begins) FILTER (WHERE begins > clock.shows) AS next_begins
    FROM unnest($1::integer[]) step CROSS JOIN LATERAL (SELECT i.due_date + step + time '10:00' AS begins) day) due
WHERE (o.settings #>> '{reminders,enabled}')::boolean AND due.step IS NOT NULL
  AND (due.next_begins IS NULL OR due.next_begins > clock.shows + interval '24 hours')
  AND NOT EXISTS (
    SELECT FROM invoice_reminders r
    WHERE r.organization_id = i.organization_id AND r.invoice_id = i.id AND r.step >= due.step)`

const lockDueReminders = ` LIMIT $2 FOR NO KEY UPDATE OF i SKIP LOCKED`

// DueReminders finds reminders that are due and not begun, at most limit of them, of the organizations that want
// them, of one organization, or of one invoice of it; "" is all. It holds their invoices against payments until the
// transaction ends, and leaves what somebody is changing at this moment to the next time.
func DueReminders(ctx context.Context, tx pgx.Tx, steps []int, limit int, organizationID, invoiceID string) ([]DueReminder, error) {
	sql, args := dueReminders, []any{steps, limit}
	if organizationID != "" {
		sql, args = sql+` AND o.id = $3`, append(args, organizationID)
	}
	if invoiceID != "" {
		sql, args = sql+` AND i.id = $4`, append(args, invoiceID)
	}
	rows, err := tx.Query(ctx, sql+lockDueReminders, args...)
	if err != nil {
		return nil, fmt.Errorf("look for due reminders: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[DueReminder])
	if err != nil {
		return nil, fmt.Errorf("look for due reminders: %w", err)
	}
	return due, nil
}

const insertReminder = `
INSERT INTO invoice_reminders (organization_id, invoice_id, step, text_job_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization_id, invoice_id, step) DO NOTHING`

// BeginReminder notes that a step of an invoice is begun, with the job that writes its text; false when it was begun
// before.
func BeginReminder(ctx context.Context, tx pgx.Tx, r DueReminder, textJobID string) (bool, error) {
	tag, err := tx.Exec(ctx, insertReminder, r.OrganizationID, r.InvoiceID, r.Step, textJobID)
	if err != nil {
		return false, fmt.Errorf("begin reminder %d of invoice %s: %w", r.Step, r.InvoiceID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// A Reminder is a reminder whose text is written, or was given up.
type Reminder struct {
	OrganizationID string          `db:"organization_id"`
	InvoiceID      string          `db:"invoice_id"`
	Step           int             `db:"step"`
	TextJobID      string          `db:"text_job_id"`
	Text           json.RawMessage `db:"text"` // the document of the job that wrote it; nil: it has none
}

const selectReminder = `
SELECT r.organization_id::text, r.invoice_id::text, r.step, r.text_job_id::text,
       CASE WHEN j.status = 'succeeded' THEN j.output -> 'json' END AS text
FROM invoice_reminders r
LEFT JOIN jobs j ON j.organization_id = r.organization_id AND j.id = r.text_job_id
WHERE r.organization_id = $1 AND r.text_job_id = $2 AND r.mail_job_id IS NULL`

// ReminderOfText reads the reminder that a job wrote the text for, as long as there is no mail of it; ErrNotFound
// when there is none such, as the job was a client's, or has its mail.
func (db *DB) ReminderOfText(ctx context.Context, organizationID, textJobID string) (r Reminder, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		r, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Reminder])
		return notFound(err)
	}, selectReminder, organizationID, textJobID)
	if err != nil {
		return r, fmt.Errorf("read the reminder of job %s: %w", textJobID, err)
	}
	return r, nil
}

// Whoever pays, or changes the organization's mind, comes before or after.
const mailReminder = `
UPDATE invoice_reminders r SET mail_job_id = $3, updated_at = now()
FROM (SELECT i.organization_id, i.id FROM invoices i JOIN organizations o ON o.id = i.organization_id
      WHERE i.organization_id = $1 AND i.status = 'overdue' AND (o.settings #>> '{reminders,enabled}')::boolean
        AND i.id = (SELECT invoice_id FROM invoice_reminders WHERE organization_id = $1 AND text_job_id = $2)
      FOR SHARE) wanted
WHERE r.organization_id = $1 AND r.text_job_id = $2 AND r.mail_job_id IS NULL
  AND wanted.organization_id = r.organization_id AND wanted.id = r.invoice_id`

// MailReminder notes the mail of a reminder in the transaction that makes it; false when there must be none: it has
// one, the invoice is not overdue any more, or the organization wants no reminders.
func MailReminder(ctx context.Context, tx pgx.Tx, organizationID, textJobID, mailJobID string) (bool, error) {
	tag, err := tx.Exec(ctx, mailReminder, organizationID, textJobID, mailJobID)
	if err != nil {
		return false, fmt.Errorf("note the mail of reminder %s: %w", textJobID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// What somebody mails by hand is theirs to call off.
const jobsOfReminders = `
SELECT ` + jobColumns + ` FROM jobs
WHERE organization_id = $1 AND finished_at IS NULL AND id IN (
    SELECT unnest(ARRAY[text_job_id, mail_job_id]) FROM invoice_reminders
    WHERE organization_id = $1 AND ($2 = '' OR invoice_id = nullif($2, '')::uuid)
    UNION ALL
    SELECT m.id FROM mail_messages m
    JOIN invoices i ON i.organization_id = m.organization_id AND i.id = m.invoice_id AND i.status = 'cancelled'
    JOIN jobs j ON j.organization_id = m.organization_id AND j.id = m.id AND j.metadata->>'cause' = 'invoice.sent'
    WHERE m.organization_id = $1 AND m.invoice_id = nullif($2, '')::uuid)
ORDER BY id`

// RemindersUnderWay lists the jobs of an invoice's reminders that have not ended, or of all an organization's where
// the invoice is "". Of an invoice that was cancelled that is also the mail with which it was to go out.
func RemindersUnderWay(ctx context.Context, db Execer, organizationID, invoiceID string) ([]Job, error) {
	rows, err := db.Query(ctx, jobsOfReminders, organizationID, invoiceID)
	if err != nil {
		return nil, fmt.Errorf("list the reminders under way of organization %s: %w", organizationID, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("list the reminders under way of organization %s: %w", organizationID, err)
	}
	return list, nil
}

const forgetReminders = `
DELETE FROM invoice_reminders r USING invoices i
WHERE r.organization_id = $1 AND r.invoice_id = $2
  AND i.organization_id = r.organization_id AND i.id = r.invoice_id AND i.status = 'sent'`

// ForgetReminders lets the reminders of an invoice that was put off begin anew after its new due date. Those of one
// that is overdue, or whose end has come, stay.
func (db *DB) ForgetReminders(ctx context.Context, organizationID, invoiceID string) error {
	if _, err := db.exec(ctx, forgetReminders, organizationID, invoiceID); err != nil {
		return fmt.Errorf("forget the reminders of invoice %s: %w", invoiceID, err)
	}
	return nil
}

const wantsReminders = `
SELECT coalesce((settings #>> '{reminders,enabled}')::boolean, false) FROM organizations WHERE id = $1`

// WantsReminders reports whether an organization wants its customers reminded; ErrNotFound when there is none such.
func (db *DB) WantsReminders(ctx context.Context, organizationID string) (wanted bool, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		wanted, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		return notFound(err)
	}, wantsReminders, organizationID)
	if err != nil {
		return false, fmt.Errorf("look whether organization %s wants reminders: %w", organizationID, err)
	}
	return wanted, nil
}

const isOverdue = `SELECT EXISTS (SELECT FROM invoices WHERE organization_id = $1 AND id = $2 AND status = 'overdue')`

// IsOverdue reports whether an invoice is overdue.
func (db *DB) IsOverdue(ctx context.Context, organizationID, invoiceID string) (overdue bool, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		overdue, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		return err
	}, isOverdue, organizationID, invoiceID)
	if err != nil {
		return false, fmt.Errorf("look whether invoice %s is overdue: %w", invoiceID, err)
	}
	return overdue, nil
}
