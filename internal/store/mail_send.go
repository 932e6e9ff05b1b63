package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The one statement between a connection in hand and a mail's content on the wire. It goes through the lock of the
// mail, and a job that was cancelled, ended or taken over meanwhile is found out here, as is an address that was put
// on the list while the mail waited for the server, which may be minutes.
const beginSending = `
WITH m AS (
    SELECT organization_id, id, stream FROM mail_messages WHERE organization_id = $1 AND id = $2 FOR UPDATE
), r AS (
    UPDATE mail_recipients r
    SET state = 'sending', claim = $4, attempts = attempts + 1, sending_at = now(), next_attempt_at = NULL, updated_at = now()
    FROM m
    WHERE r.organization_id = m.organization_id AND r.message_id = m.id AND r.position = $3
      AND r.state IN ('queued', 'deferred')
      AND EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND id = $2 AND lease = $5 AND status = 'running')
      AND NOT EXISTS (SELECT FROM mail_suppressions s WHERE s.organization_id = $1 AND s.address = lower(r.address)
                      AND s.stream IN ('*', m.stream) AND (s.expires_at IS NULL OR s.expires_at > now()))
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
	Claim          string // of the try, a UUID
	Begun          bool   // BeginSending was asked for, whatever it answered
	State          string // of the recipient from now on
	Code           int    // of the server's answer; 0: there was none
	Status, Reply  string
	QueueID        string
	NextAttemptAt  *time.Time
	// Uncounted is for a try that says nothing about the recipient: the server could not be reached.
	Uncounted bool
}

// A Settled is a recipient after a try.
type Settled struct {
	Mail      Mail
	Recipient MailRecipient
	// Wrote is false where there was nothing to write down: it is written already, as when the answer to the commit
	// before was lost, or the recipient was settled otherwise, which is what Recipient says.
	Wrote bool
}

// What the server accepted is accepted, whatever became of the job and of the recipient meanwhile: a later try, under
// a claim of its own, that is under way ends as accepted too. All else counts only while the try's claim stands, or
// before anything was begun. What would wait to be sent again ends as its job has ended. A try that ends unknown, too,
// leaves alone when somebody decided to send again.
const settleSending = `
UPDATE mail_recipients r
SET state = CASE WHEN $5 = 'accepted' AND claim <> $4 AND state = 'sending' THEN state
                 WHEN $5 = 'accepted' OR accepted_at IS NOT NULL THEN 'accepted'
                 WHEN $5 NOT IN ('queued', 'deferred') THEN $5
                 ELSE coalesce((SELECT j.status FROM jobs j WHERE j.organization_id = $1 AND j.id = $2
                                AND j.status IN ('cancelled', 'failed')), $5) END,
    claim = CASE WHEN $6 THEN claim ELSE $4 END,
    code = coalesce(nullif($7, 0), code), status = coalesce(nullif($8, ''), status), reply = coalesce(nullif($9, ''), reply),
    queue_id = coalesce(nullif($10, ''), queue_id),
    next_attempt_at = CASE WHEN $5 = 'unknown' AND state = 'unknown' THEN next_attempt_at
        WHEN NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = $1 AND j.id = $2 AND j.status IN ('cancelled', 'failed'))
        THEN $11::timestamptz END,
    attempts = greatest(0, attempts + CASE WHEN $6 AND $12 THEN -1 WHEN $6 OR $12 THEN 0 ELSE 1 END),
    accepted_at = CASE WHEN $5 = 'accepted' THEN coalesce(accepted_at, now()) ELSE accepted_at END,
    unknown_at = CASE WHEN $5 = 'unknown' THEN coalesce(unknown_at, now()) END, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3
  AND CASE WHEN NOT $6 THEN state IN ('queued', 'deferred') AND claim IS DISTINCT FROM $4
           WHEN $5 = 'accepted' THEN claim = $4 AND (state <> 'accepted' OR code IS NULL) OR claim <> $4 AND accepted_at IS NULL
           ELSE claim = $4 AND state IN ('sending', 'unknown') END
RETURNING ` + recipientColumns

const selectSettledMail = `SELECT ` + mailColumns + ` FROM mail_messages WHERE organization_id = $1 AND id = $2`

// SettleSending writes down what became of a try, in the caller's transaction. It may be asked again for the same
// try, and does nothing the second time.
func SettleSending(ctx context.Context, tx pgx.Tx, s Sent) (out Settled, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("settle recipient %d of mail %s as %s: %w", s.Position, s.MailID, s.State, err)
		}
	}()
	if _, err := LockMail(ctx, tx, s.OrganizationID, s.MailID); err != nil {
		return out, err
	}
	out.Recipient, err = oneRecipient(tx.Query(ctx, settleSending, s.OrganizationID, s.MailID, s.Position, s.Claim, s.State, s.Begun,
		s.Code, s.Status, s.Reply, s.QueueID, s.NextAttemptAt, s.Uncounted))
	switch {
	case err == nil:
		out.Wrote = true
		out.Mail, err = TouchMail(ctx, tx, s.OrganizationID, s.MailID)
		return out, err
	case !errors.Is(err, ErrNotFound):
		return out, err
	}
	if out.Recipient, err = oneRecipient(tx.Query(ctx, selectRecipient, s.OrganizationID, s.MailID, s.Position)); err != nil {
		return out, err
	}
	rows, err := tx.Query(ctx, selectSettledMail, s.OrganizationID, s.MailID)
	if err != nil {
		return out, err
	}
	out.Mail, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Mail])
	return out, err
}

func oneRecipient(rows pgx.Rows, err error) (MailRecipient, error) {
	if err != nil {
		return MailRecipient{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[MailRecipient])
	return r, notFound(err)
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
UPDATE mail_recipients SET state = 'queued', unknown_at = NULL, next_attempt_at = NULL, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND position = $3 AND state = 'unknown'`

// ResendUnknown gives a recipient up to be sent to again at once, though it may have the mail.
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

// A retry by hand is a decision about everything that is not accepted, what nobody knows included. But a try of the
// run before may be under way still, and is given time for its last word, as it may be that of acceptance.
const renewRecipients = `
UPDATE mail_recipients
SET state = CASE WHEN state IN ('sending', 'unknown') THEN 'unknown' ELSE 'queued' END,
    unknown_at = CASE WHEN state IN ('sending', 'unknown') THEN coalesce(unknown_at, now()) END,
    next_attempt_at = CASE WHEN state IN ('sending', 'unknown') THEN greatest(now(), coalesce(unknown_at, now()) + $3::interval) END,
    attempts = 0, updated_at = now()
WHERE organization_id = $1 AND message_id = $2 AND state <> 'accepted'`

// LastWord is how long a try may go on whose job was ended or taken over by others: a mail whose content is under way
// is not broken off at once.
const LastWord = 20 * time.Second

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
		_, err = tx.Exec(ctx, renewRecipients, organizationID, mailID, LastWord)
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
