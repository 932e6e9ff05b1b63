package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a mail and of its recipients. That of a mail follows its recipients': what is still open first, then
// the best that was reached.
const (
	MailQueued     = "queued"
	MailSending    = "sending"    // from before its content is sent until the server's answer is written down
	MailAccepted   = "accepted"   // by the mail server, which answers for it from then on
	MailDeferred   = "deferred"   // the server said "not now"
	MailFailed     = "failed"     // the server said "never", or the job ended first
	MailSuppressed = "suppressed" // not sent: the address is on the organization's list
	MailUnknown    = "unknown"    // nobody knows whether the server took it
	MailCancelled  = "cancelled"
)

// What is done with a recipient of whom nobody knows whether the server took the mail, where no evidence comes.
const (
	UnknownResend = "resend"
	UnknownHold   = "hold"
)

// A Mail is a mail as its sender sees it.
type Mail struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"` // that of its job
	State          string     `db:"state"`
	Stream         string     `db:"stream"`
	Template       *string    `db:"template"`
	Subject        *string    `db:"subject"`  // as it was sent; nil before the first attempt
	DatedAt        *time.Time `db:"dated_at"` // its own date, the same in every attempt
	Size           *int64     `db:"size"`     // in bytes, composed
	OnUnknown      string     `db:"on_unknown"`
	Run            int        `db:"run"` // of the job, that the states belong to
	InvoiceID      *string    `db:"invoice_id"`
	DealID         *string    `db:"deal_id"`
	ContactID      *string    `db:"contact_id"`
	Version        int64      `db:"version"`
	CreatedAt      time.Time  `db:"created_at"`
	UpdatedAt      time.Time  `db:"updated_at"`
}

const mailColumns = `organization_id::text, id::text, state, stream, template, subject, dated_at, size, on_unknown, run,
    invoice_id::text, deal_id::text, contact_id::text, version, created_at, updated_at`

// A MailRecipient is one address of a mail.
type MailRecipient struct {
	Position      int        `db:"position"` // from 1
	Field         string     `db:"field"`    // to, cc or bcc
	Address       string     `db:"address"`
	Name          *string    `db:"name"`
	State         string     `db:"state"`
	Claim         *string    `db:"claim"`    // the try that is, or was, under way
	Attempts      int        `db:"attempts"` // tries that the server has answered, or may have
	Code          *int       `db:"code"`
	Status        *string    `db:"status"` // RFC 3463
	Reply         *string    `db:"reply"`
	QueueID       *string    `db:"queue_id"`
	SendingAt     *time.Time `db:"sending_at"`
	AcceptedAt    *time.Time `db:"accepted_at"`
	UnknownAt     *time.Time `db:"unknown_at"`
	NextAttemptAt *time.Time `db:"next_attempt_at"`
	DeliveredAt   *time.Time `db:"delivered_at"`
	BouncedAt     *time.Time `db:"bounced_at"`
	ComplainedAt  *time.Time `db:"complained_at"`
}

const recipientColumns = `position, field, address, name, state, claim::text, attempts, code, status, reply, queue_id,
    sending_at, accepted_at, unknown_at, next_attempt_at, delivered_at, bounced_at, complained_at`

const insertMail = `
INSERT INTO mail_messages (organization_id, id, stream, template, on_unknown, invoice_id, deal_id, contact_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

const insertRecipient = `
INSERT INTO mail_recipients (organization_id, message_id, position, field, address, name) VALUES ($1, $2, $3, $4, $5, $6)`

// QueueMail adds a mail and its recipients to the batch that makes its job.
func QueueMail(b *pgx.Batch, m Mail, recipients []MailRecipient) {
	b.Queue(insertMail, m.OrganizationID, m.ID, m.Stream, m.Template, m.OnUnknown, m.InvoiceID, m.DealID, m.ContactID)
	for i, r := range recipients {
		b.Queue(insertRecipient, m.OrganizationID, m.ID, i+1, r.Field, r.Address, r.Name)
	}
}

// A MailToSend is a mail with what its sending needs to know.
type MailToSend struct {
	Mail
	OrganizationName string  `db:"organization_name"`
	ReplyTo          *string `db:"organization_email"` // the owner's address
	Recipients       []RecipientToSend
}

// A RecipientToSend is a recipient, with the reason why nothing is to be sent to it.
type RecipientToSend struct {
	MailRecipient
	Suppressed *string `db:"suppressed"` // nil: send
	// Lost counts the tries of this run after which the server's answer did not come, where nobody knows.
	Lost int `db:"lost"`
}

const selectMailToSend = `
SELECT m.organization_id::text, m.id::text, m.state, m.stream, m.template, m.subject, m.dated_at, m.size, m.on_unknown, m.run,
       m.invoice_id::text, m.deal_id::text, m.contact_id::text, m.version, m.created_at, m.updated_at,
       o.name AS organization_name, o.email AS organization_email
FROM mail_messages m JOIN organizations o ON o.id = m.organization_id
WHERE m.organization_id = $1 AND m.id = $2`

// An address may be on the list for this stream and for all of them; the one for all weighs more.
const selectRecipientsToSend = `
SELECT ` + recipientColumns + `, (
    SELECT s.reason FROM mail_suppressions s
    WHERE s.organization_id = r.organization_id AND s.address = lower(r.address) AND s.stream IN ('*', $3)
      AND (s.expires_at IS NULL OR s.expires_at > now())
    ORDER BY s.stream LIMIT 1) AS suppressed,
    CASE WHEN r.state = 'unknown' THEN (
        SELECT count(*) FROM mail_events e
        WHERE e.organization_id = r.organization_id AND e.message_id = r.message_id AND e.position = r.position
          AND e.type = 'unknown' AND e.detail->>'reason' = 'unknown'
          AND e.created_at > coalesce((SELECT max(b.created_at) FROM mail_events b WHERE b.organization_id = r.organization_id
                AND b.message_id = r.message_id AND b.type = 'retried'), '-infinity')) ELSE 0 END AS lost
FROM mail_recipients r
WHERE organization_id = $1 AND message_id = $2
ORDER BY position`

// MailToSend reads the mail of a job; ErrNotFound when it has none.
func (db *DB) MailToSend(ctx context.Context, organizationID, id, stream string) (MailToSend, error) {
	var m MailToSend
	b := BatchAs(organizationID)
	b.Queue(selectMailToSend, organizationID, id).Query(func(rows pgx.Rows) error {
		head, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByNameLax[MailToSend])
		m.Mail, m.OrganizationName, m.ReplyTo = head.Mail, head.OrganizationName, head.ReplyTo
		return notFound(err)
	})
	b.Queue(selectRecipientsToSend, organizationID, id, stream).Query(func(rows pgx.Rows) (err error) {
		m.Recipients, err = pgx.CollectRows(rows, pgx.RowToStructByName[RecipientToSend])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return m, fmt.Errorf("read mail %s: %w", id, err)
	}
	return m, nil
}

const lockMail = `SELECT version FROM mail_messages WHERE organization_id = $1 AND id = $2 FOR UPDATE`

// LockMail holds a mail against changes until the transaction ends. Everybody locks a mail before its recipients.
func LockMail(ctx context.Context, tx pgx.Tx, organizationID, id string) (version int64, err error) {
	err = tx.QueryRow(ctx, lockMail, organizationID, id).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("lock mail %s: %w", id, notFound(err))
	}
	return version, nil
}

const touchMail = `
UPDATE mail_messages SET state = mail_state(organization_id, id), version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2
RETURNING ` + mailColumns

// TouchMail has the state of a mail follow those of its recipients, after they were changed under its lock.
func TouchMail(ctx context.Context, tx pgx.Tx, organizationID, id string) (Mail, error) {
	rows, err := tx.Query(ctx, touchMail, organizationID, id)
	if err != nil {
		return Mail{}, fmt.Errorf("change mail %s: %w", id, err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Mail])
	if err != nil {
		return m, fmt.Errorf("change mail %s: %w", id, notFound(err))
	}
	return m, nil
}

// A MailEvent is one line of a mail's timeline.
type MailEvent struct {
	ID       string // given by the caller, so that events are in its order
	Position int    // of the recipient; 0: the whole mail
	Type     string
	Detail   any    // has JSON, an object; nil: {}
	Source   string // names what told of it, so that the same news counts once; "": it needs no name
}

const insertMailEvent = `
INSERT INTO mail_events (organization_id, id, message_id, position, type, detail, source)
VALUES ($1, $2, $3, nullif($4, 0), $5, coalesce($6, '{}'::jsonb), nullif($7, ''))
ON CONFLICT (organization_id, message_id, source) DO NOTHING`

// QueueMailEvent adds a line of a timeline to a batch.
func QueueMailEvent(b *pgx.Batch, organizationID, mailID string, e MailEvent) {
	b.Queue(insertMailEvent, organizationID, e.ID, mailID, e.Position, e.Type, e.Detail, e.Source)
}

// AppendMailEvent adds a line to a timeline; false when the same news is there already.
func AppendMailEvent(ctx context.Context, tx pgx.Tx, organizationID, mailID string, e MailEvent) (bool, error) {
	tag, err := tx.Exec(ctx, insertMailEvent, organizationID, e.ID, mailID, e.Position, e.Type, e.Detail, e.Source)
	if err != nil {
		return false, fmt.Errorf("add %s to the timeline of mail %s: %w", e.Type, mailID, err)
	}
	return tag.RowsAffected() == 1, nil
}

const selectSecret = `SELECT secret FROM installation_secrets WHERE name = $1`

// Secret reads a key of the installation, which all its processes share.
func (db *DB) Secret(ctx context.Context, name string) ([]byte, error) {
	var secret []byte
	err := db.pool.QueryRow(ctx, selectSecret, name).Scan(&secret)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoSchema
	}
	if err != nil {
		return nil, fmt.Errorf("read the installation's key for %s: %w", name, Explain(err))
	}
	return secret, nil
}
