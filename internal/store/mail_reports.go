package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const selectRecipient = `
SELECT ` + recipientColumns + ` FROM mail_recipients WHERE organization_id = $1 AND message_id = $2 AND position = $3`

// RecipientOf reads one recipient of a mail; ErrNotFound when it has none there.
func RecipientOf(ctx context.Context, db Execer, organizationID, mailID string, position int) (MailRecipient, error) {
	rows, err := db.Query(ctx, selectRecipient, organizationID, mailID, position)
	var r MailRecipient
	if err == nil {
		r, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[MailRecipient])
	}
	if err != nil {
		return r, fmt.Errorf("read recipient %d of mail %s: %w", position, mailID, notFound(err))
	}
	return r, nil
}

// A ReportedMail is what a report makes of a recipient. The times are those of the first report that says so.
type ReportedMail struct {
	Accepted   bool // the server took the mail, whatever was known of it before
	Delivered  bool
	Bounced    bool
	Complained bool
}

const reportMail = `
UPDATE mail_recipients
SET state = CASE WHEN $4 THEN 'accepted' ELSE state END,
    accepted_at = CASE WHEN $4 THEN coalesce(accepted_at, now()) ELSE accepted_at END,
    unknown_at = CASE WHEN $4 THEN NULL ELSE unknown_at END,
    next_attempt_at = CASE WHEN $4 THEN NULL ELSE next_attempt_at END,
    delivered_at = CASE WHEN $5 THEN coalesce(delivered_at, now()) ELSE delivered_at END,
    bounced_at = CASE WHEN $6 THEN coalesce(bounced_at, now()) ELSE bounced_at END,
    complained_at = CASE WHEN $7 THEN coalesce(complained_at, now()) ELSE complained_at END,
    updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3`

// ReportMail writes down what a report makes of a recipient, under the lock of its mail, and gives the mail.
func ReportMail(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int, r ReportedMail) (Mail, error) {
	tag, err := tx.Exec(ctx, reportMail, organizationID, mailID, position, r.Accepted, r.Delivered, r.Bounced, r.Complained)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return Mail{}, fmt.Errorf("write down a report on recipient %d of mail %s: %w", position, mailID, err)
	}
	return TouchMail(ctx, tx, organizationID, mailID)
}

const countReports = `
SELECT count(*) FROM mail_events WHERE organization_id = $1 AND message_id = $2 AND position = $3 AND type = $4`

// Reports counts the lines of a type in the timeline of a mail that are about one recipient.
func Reports(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int, kind string) (int, error) {
	var n int
	if err := tx.QueryRow(ctx, countReports, organizationID, mailID, position, kind).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the reports on mail %s: %w", mailID, err)
	}
	return n, nil
}

// The mails of an address are found by their recipients, and those that came back lately are few.
const countSoftBounces = `
SELECT count(*) FROM mail_recipients r
WHERE r.organization_id = $1 AND lower(r.address) = lower($2)
  AND (r.bounced_at >= $3 OR r.state = 'failed' AND r.updated_at >= $3)
  AND EXISTS (SELECT FROM mail_events e
    WHERE e.organization_id = r.organization_id AND e.message_id = r.message_id AND e.position = r.position
      AND e.type IN ('bounced', 'failed') AND e.detail->>'class' = 'soft')`

// SoftBounces counts the mails of an organization that came back from an address since a time, or were refused for
// it, and might not be the next time.
func SoftBounces(ctx context.Context, tx pgx.Tx, organizationID, address string, since time.Time) (int, error) {
	var n int
	if err := tx.QueryRow(ctx, countSoftBounces, organizationID, address, since).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the bounces of an address of %s: %w", organizationID, err)
	}
	return n, nil
}
