package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A Subscription is what a recipient of a mail can unsubscribe from.
type Subscription struct {
	OrganizationName string `db:"organization_name"`
	Stream           string `db:"stream"`
	Address          string `db:"address"`
	Ended            bool   `db:"ended"` // for good, by whatever reason
}

const selectSubscription = `
SELECT o.name AS organization_name, m.stream, r.address, EXISTS (
    SELECT FROM mail_suppressions s
    WHERE s.organization_id = m.organization_id AND s.address = lower(r.address) AND s.stream = m.stream AND s.expires_at IS NULL
) AS ended
FROM mail_messages m
JOIN mail_recipients r ON r.organization_id = m.organization_id AND r.message_id = m.id
JOIN organizations o ON o.id = m.organization_id
WHERE m.organization_id = $1 AND m.id = $2 AND r.position = $3`

// Subscription reads what a recipient of a mail can unsubscribe from; ErrNotFound when the mail is no longer kept.
func (db *DB) Subscription(ctx context.Context, organizationID, mailID string, position int) (Subscription, error) {
	var s Subscription
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Subscription])
		return notFound(err)
	}, selectSubscription, organizationID, mailID, position)
	if err != nil {
		return s, fmt.Errorf("read the subscription of recipient %d of mail %s: %w", position, mailID, err)
	}
	return s, nil
}

// Unsubscribe keeps mails of a stream from a recipient for good, and notes it in the timeline of the mail that was
// the occasion. The mail is nil when that was so before. id is for the entry of the list, eventID for the line.
func Unsubscribe(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int, id, eventID string) (s Subscription, m *Mail, err error) {
	if _, err := LockMail(ctx, tx, organizationID, mailID); err != nil {
		return s, nil, err
	}
	rows, err := tx.Query(ctx, selectSubscription, organizationID, mailID, position)
	if err == nil {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Subscription])
	}
	if err != nil {
		return s, nil, fmt.Errorf("read the subscription of recipient %d of mail %s: %w", position, mailID, notFound(err))
	}
	if s.Ended || s.Stream == TransactionalStream {
		return s, nil, nil
	}
	if _, _, err := Suppress(ctx, tx, Suppression{OrganizationID: organizationID, ID: id, Address: s.Address, Stream: s.Stream,
		Reason: SuppressedByUnsubscribe, MessageID: &mailID}); err != nil {
		return s, nil, err
	}
	if _, err := AppendMailEvent(ctx, tx, organizationID, mailID, MailEvent{ID: eventID, Position: position, Type: "unsubscribed"}); err != nil {
		return s, nil, err
	}
	now, err := TouchMail(ctx, tx, organizationID, mailID)
	return s, &now, err
}
