package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The one statement between a connection in hand and a mail's content on the wire. It goes through the lock of the
// mail, and a job that was cancelled, ended or taken over meanwhile is found out here.
const beginSending = `
WITH m AS (
    SELECT organization_id, id FROM mail_messages WHERE organization_id = $1 AND id = $2 FOR UPDATE
), r AS (
    UPDATE mail_recipients r
    SET state = 'sending', claim = $4, attempts = attempts + 1, sending_at = now(), next_attempt_at = NULL, updated_at = now()
    FROM m
    WHERE r.organization_id = m.organization_id AND r.message_id = m.id AND r.position = $3
      AND r.state IN ('queued', 'deferred')
      AND EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $5 AND status = 'running')
    RETURNING r.position
)
UPDATE mail_messages SET state = 'sending', version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND EXISTS (SELECT FROM r)`

// BeginSending notes durably that a mail's content is about to be sent to a recipient, under a claim of the try's
// own. ErrConflict: it must not be sent, as the hold is lost or the recipient was settled otherwise.
func (db *DB) BeginSending(ctx context.Context, h Hold, position int, claim string) error {
	tag, err := db.pool.Exec(ctx, beginSending, h.OrganizationID, h.JobID, position, claim, h.Lease)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return fmt.Errorf("begin to send mail %s to recipient %d: %w", h.JobID, position, err)
	}
	return nil
}

// A Sent is what became of one try to send a mail to a recipient.
type Sent struct {
	OrganizationID string
	MailID         string
	Position       int
	Claim          string // "": nothing was begun, as the refusal came before the content
	State          string // of the recipient from now on
	Code           int    // of the server's answer; 0: there was none
	Status, Reply  string
	QueueID        string
	NextAttemptAt  *time.Time
	// Uncounted is for a try that says nothing about the recipient: the server could not be reached.
	Uncounted bool
}

// A try that reached the server counts, whether or not the content was begun. A claim that was overtaken is void,
// unless all that is known since is that nobody knows.
const settleSending = `
UPDATE mail_recipients
SET state = $5, code = coalesce(nullif($6, 0), code), status = coalesce(nullif($7, ''), status),
    reply = coalesce(nullif($8, ''), reply), queue_id = coalesce(nullif($9, ''), queue_id), next_attempt_at = $10,
    attempts = attempts + CASE WHEN $4 = '' AND NOT $11 THEN 1 WHEN $4 <> '' AND $11 THEN -1 ELSE 0 END,
    accepted_at = CASE WHEN $5 = 'accepted' THEN coalesce(accepted_at, now()) ELSE accepted_at END,
    unknown_at = CASE WHEN $5 = 'unknown' THEN coalesce(unknown_at, now()) ELSE NULL END, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3
  AND CASE WHEN $4 = '' THEN state IN ('queued', 'deferred')
           ELSE claim = nullif($4, '')::uuid AND (state = 'sending' OR state = 'unknown' AND $5 <> 'unknown') END
RETURNING attempts`

// SettleSending writes down what became of a try, in the caller's transaction, and gives the mail and the tries
// that the recipient has had. ErrConflict: the recipient was settled by somebody else.
func SettleSending(ctx context.Context, tx pgx.Tx, s Sent) (m Mail, attempts int, err error) {
	if _, err := LockMail(ctx, tx, s.OrganizationID, s.MailID); err != nil {
		return m, 0, err
	}
	err = tx.QueryRow(ctx, settleSending, s.OrganizationID, s.MailID, s.Position, s.Claim, s.State, s.Code, s.Status,
		s.Reply, s.QueueID, s.NextAttemptAt, s.Uncounted).Scan(&attempts)
	if notFound(err) == ErrNotFound {
		err = ErrConflict
	}
	if err != nil {
		return m, 0, fmt.Errorf("settle recipient %d of mail %s as %s: %w", s.Position, s.MailID, s.State, err)
	}
	m, err = TouchMail(ctx, tx, s.OrganizationID, s.MailID)
	return m, attempts, err
}

// Whoever holds the job is the only one who may send: a try that is still noted is one whose process died, or
// whose answer is yet to come.
const orphanSending = `
UPDATE mail_recipients SET state = 'unknown', unknown_at = now(), updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND state = 'sending'
  AND EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $3 AND status = 'running')
RETURNING position, attempts`

// A Try is a recipient, and how often it was tried.
type Try struct {
	Position int `db:"position"`
	Attempts int `db:"attempts"`
}

// OrphanSending makes unknown what tries of earlier attempts of the job left undecided.
func OrphanSending(ctx context.Context, tx pgx.Tx, h Hold) (m Mail, orphans []Try, err error) {
	if _, err := LockMail(ctx, tx, h.OrganizationID, h.JobID); err != nil {
		return m, nil, err
	}
	rows, err := tx.Query(ctx, orphanSending, h.OrganizationID, h.JobID, h.Lease)
	if err == nil {
		orphans, err = pgx.CollectRows(rows, pgx.RowToStructByName[Try])
	}
	if err != nil {
		return m, nil, fmt.Errorf("look for tries of mail %s that were cut off: %w", h.JobID, err)
	}
	if len(orphans) == 0 {
		return m, nil, ErrConflict
	}
	m, err = TouchMail(ctx, tx, h.OrganizationID, h.JobID)
	return m, orphans, err
}

const resendUnknown = `
UPDATE mail_recipients SET state = 'queued', unknown_at = NULL, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3 AND state = 'unknown'`

// ResendUnknown gives a recipient up to be sent to again, though it may have the mail.
func ResendUnknown(ctx context.Context, tx pgx.Tx, organizationID, mailID string, position int) (Mail, error) {
	if _, err := LockMail(ctx, tx, organizationID, mailID); err != nil {
		return Mail{}, err
	}
	tag, err := tx.Exec(ctx, resendUnknown, organizationID, mailID, position)
	if err == nil {
		err = oneRow(tag)
	}
	if err != nil {
		return Mail{}, fmt.Errorf("send mail %s again to recipient %d: %w", mailID, position, err)
	}
	return TouchMail(ctx, tx, organizationID, mailID)
}

// A retry by hand is a decision about everything that is not accepted.
const renewRecipients = `
UPDATE mail_recipients SET state = 'queued', unknown_at = NULL, next_attempt_at = NULL, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND state <> 'accepted'`

const renewMail = `
UPDATE mail_messages SET run = $3 WHERE organization_id = $1 AND id = $2 AND run < $3`

// RenewMail begins a mail again for a later run of its job: all that was not accepted is queued anew.
func RenewMail(ctx context.Context, tx pgx.Tx, organizationID, mailID string, run int) (Mail, error) {
	if _, err := LockMail(ctx, tx, organizationID, mailID); err != nil {
		return Mail{}, err
	}
	tag, err := tx.Exec(ctx, renewMail, organizationID, mailID, run)
	if err == nil {
		err = oneRow(tag)
	}
	if err == nil {
		_, err = tx.Exec(ctx, renewRecipients, organizationID, mailID)
	}
	if err != nil {
		return Mail{}, fmt.Errorf("begin mail %s again: %w", mailID, err)
	}
	return TouchMail(ctx, tx, organizationID, mailID)
}

const describeMail = `
UPDATE mail_messages SET subject = $3, size = $4, dated_at = coalesce(dated_at, $5), updated_at = now()
WHERE organization_id = $1 AND id = $2 AND (subject IS DISTINCT FROM $3 OR size IS DISTINCT FROM $4)`

// DescribeMail notes what a mail came to when it was composed. Its date is that of the first time.
func (db *DB) DescribeMail(ctx context.Context, organizationID, id, subject string, size int, dated time.Time) error {
	if _, err := db.pool.Exec(ctx, describeMail, organizationID, id, subject, size, dated); err != nil {
		return fmt.Errorf("describe mail %s: %w", id, err)
	}
	return nil
}
