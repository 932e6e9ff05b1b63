package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const settleUnknown = `
UPDATE mail_recipients
SET state = $4, unknown_at = NULL, next_attempt_at = NULL,
    accepted_at = CASE WHEN $4 = 'accepted' THEN coalesce(sending_at, now()) ELSE accepted_at END, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3 AND state = 'unknown'`

// SettleUnknown writes down what somebody found out about a recipient of whom nobody knew whether the server took the
// mail: MailAccepted or MailFailed. ErrConflict: the recipient is not unknown.
func SettleUnknown(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int, state string) (Mail, error) {
	if _, err := LockMail(ctx, tx, organizationID, mailID); err != nil {
		return Mail{}, err
	}
	tag, err := tx.Exec(ctx, settleUnknown, organizationID, mailID, position, state)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return Mail{}, fmt.Errorf("settle recipient %d of mail %s as %s: %w", position, mailID, state, err)
	}
	return TouchMail(ctx, tx, organizationID, mailID)
}

// The try of which nobody knows may be under way still, and its last word may be that of acceptance.
const resendByHand = `
UPDATE mail_recipients r
SET state = CASE WHEN l.word > now() THEN 'unknown' ELSE 'queued' END,
    unknown_at = CASE WHEN l.word > now() THEN coalesce(r.unknown_at, r.sending_at) END,
    next_attempt_at = CASE WHEN l.word > now() THEN l.word END, updated_at = now()
FROM (SELECT coalesce(unknown_at, sending_at) + $4::interval AS word FROM mail_recipients
      WHERE organization_id = $1 AND message_id = $2 AND position = $3) l
WHERE r.organization_id = $1 AND r.message_id = $2 AND r.position = $3 AND r.state = 'unknown'`

// ResendByHand writes down that somebody wants a recipient sent to again, though it may have the mail: at once, or
// after LastWord where the try before became unknown just now. ErrConflict: the recipient is not unknown.
func ResendByHand(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int) (Mail, error) {
	if _, err := LockMail(ctx, tx, organizationID, mailID); err != nil {
		return Mail{}, err
	}
	tag, err := tx.Exec(ctx, resendByHand, organizationID, mailID, position, LastWord)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return Mail{}, fmt.Errorf("have mail %s sent again to recipient %d: %w", mailID, position, err)
	}
	return TouchMail(ctx, tx, organizationID, mailID)
}

const adoptRun = `UPDATE mail_messages SET run = $3 WHERE organization_id = $1 AND id = $2 AND run < $3`

// AdoptRun has a mail belong to a later run of its job as it is: what was settled stays so, and the run sends what is
// queued or to be sent again alone, where RenewMail would begin all anew.
func AdoptRun(ctx context.Context, tx pgx.Tx, organizationID, mailID string, run int) error {
	if _, err := tx.Exec(ctx, adoptRun, organizationID, mailID, run); err != nil {
		return fmt.Errorf("take mail %s on to run %d: %w", mailID, run, err)
	}
	return nil
}
