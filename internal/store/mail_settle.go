package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const settleUnknown = `
UPDATE mail_recipients
SET state = $4, unknown_at = NULL, accepted_at = CASE WHEN $4 = 'accepted' THEN coalesce(sending_at, now()) ELSE accepted_at END,
    updated_at = now()
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

const adoptRun = `UPDATE mail_messages SET run = $3 WHERE organization_id = $1 AND id = $2 AND run < $3`

// AdoptRun has a mail belong to a later run of its job as it is: what was settled stays so, and the run sends what is
// queued alone, where RenewMail would begin all anew.
func AdoptRun(ctx context.Context, tx pgx.Tx, organizationID, mailID string, run int) error {
	if _, err := tx.Exec(ctx, adoptRun, organizationID, mailID, run); err != nil {
		return fmt.Errorf("take mail %s on to run %d: %w", mailID, run, err)
	}
	return nil
}
