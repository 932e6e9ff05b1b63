package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A MailFilter narrows a list of mails. Zero fields don't.
type MailFilter struct {
	State         string
	Stream        string
	Template      string
	Address       string // of a recipient, in any capitals
	ContactID     string
	InvoiceID     string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Before        string // id: only older mails
	Limit         int
}

// A ListedMail is a mail with those that it goes to.
type ListedMail struct {
	Mail
	Recipients []MailAddressee `db:"recipients"`
}

// A MailAddressee is a recipient as lists show it.
type MailAddressee struct {
	Address string `json:"address"`
	Field   string `json:"field"` // to, cc or bcc
	State   string `json:"state"`
}

// Mails lists an organization's mails, newest first.
func (db *DB) Mails(ctx context.Context, organizationID string, f MailFilter) ([]ListedMail, error) {
	sql, args := f.query(organizationID)
	var mails []ListedMail
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		mails, err = pgx.CollectRows(rows, pgx.RowToStructByName[ListedMail])
		return err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list mails of %s: %w", organizationID, err)
	}
	return mails, nil
}

// The page is cut before its recipients are looked up.
const (
	selectMails = `
SELECT page.*, recipients
FROM (SELECT ` + mailColumns + ` FROM mail_messages WHERE `
	recipientsOfMails = `) AS page
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('address', address, 'field', field, 'state', state) ORDER BY position), '[]') AS recipients
    FROM mail_recipients r WHERE r.organization_id = $1 AND r.message_id = page.id::uuid
) AS shown
ORDER BY page.id DESC`
)

// TransactionalStream is that of mails which the recipient's own doing brought about; nobody unsubscribes from it.
const TransactionalStream = "transactional"

// query spells only the conditions that there are, so that each combination is planned with its own index. The
// order within names the table: the list has an id too, a text, which no index is sorted by.
func (f MailFilter) query(organizationID string) (sql string, args []any) {
	args = []any{organizationID}
	conditions := []string{"organization_id = $1"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	text := func(condition, value string) {
		if value != "" {
			where(condition, value)
		}
	}
	text("state = ?", f.State)
	text("template = ?", f.Template)
	text("contact_id = ?", f.ContactID)
	text("invoice_id = ?", f.InvoiceID)
	if f.Stream != TransactionalStream {
		// The index has no others, which a statement that is prepared for any value must be told.
		text("stream = ? AND stream <> '"+TransactionalStream+"'", f.Stream)
	} else {
		text("stream = ?", f.Stream)
	}
	// The id tells the time too, and is what the index is sorted by.
	if !f.CreatedAfter.IsZero() {
		where("created_at >= ?", f.CreatedAfter)
		where("id >= ?", idAt(f.CreatedAfter.Add(-idSlack)))
	}
	if !f.CreatedBefore.IsZero() {
		where("created_at < ?", f.CreatedBefore)
		where("id < ?", idAt(f.CreatedBefore.Add(idSlack)))
	}
	if f.Address != "" {
		// Looked up first, and where nothing else narrows the list for as many mails as it shows.
		var before, atMost any
		if f.Before != "" {
			before = f.Before
		}
		if len(conditions) == 1 {
			atMost = f.Limit
		}
		n := len(args)
		args = append(args, strings.ToLower(f.Address), before, atMost)
		conditions = append(conditions, fmt.Sprintf("id = ANY (ARRAY(SELECT mails_to($%d, $%d, $%d)))", n+1, n+2, n+3))
	}
	text("id < ?", f.Before)
	args = append(args, f.Limit)
	return selectMails + strings.Join(conditions, " AND ") + ` ORDER BY mail_messages.id DESC LIMIT $` + strconv.Itoa(len(args)) +
		recipientsOfMails, args
}

// A MailDetail is a mail with its recipients and what has happened to it.
type MailDetail struct {
	Mail
	Recipients []MailRecipient
	Events     []MailNews // the oldest first
}

// A MailNews is one line of a mail's timeline as it is read.
type MailNews struct {
	Position *int            `db:"position"` // of the recipient; nil: the whole mail
	Type     string          `db:"type"`
	Detail   json.RawMessage `db:"detail"` // an object
	At       time.Time       `db:"created_at"`
}

const selectMail = `SELECT ` + mailColumns + ` FROM mail_messages WHERE organization_id = $1 AND id = $2`

const selectRecipients = `
SELECT ` + recipientColumns + ` FROM mail_recipients WHERE organization_id = $1 AND message_id = $2 ORDER BY position`

// Not all ids of events tell the time: some are made by the schema itself.
const selectMailNews = `
SELECT position, type, detail, created_at FROM mail_events
WHERE organization_id = $1 AND message_id = $2 ORDER BY created_at, id`

// Mail reads one mail of an organization with all that is known of it, in one round trip.
func (db *DB) Mail(ctx context.Context, organizationID, id string) (MailDetail, error) {
	var m MailDetail
	b := BatchAs(organizationID)
	queueMailDetail(b, &m, organizationID, id)
	if err := db.Send(ctx, b); err != nil {
		return m, fmt.Errorf("read mail %s: %w", id, err)
	}
	return m, nil
}

// MailIn is DB.Mail within a transaction, which sees what it has changed.
func MailIn(ctx context.Context, tx pgx.Tx, organizationID, id string) (MailDetail, error) {
	var m MailDetail
	b := &pgx.Batch{}
	queueMailDetail(b, &m, organizationID, id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return m, fmt.Errorf("read mail %s: %w", id, err)
	}
	return m, nil
}

func queueMailDetail(b *pgx.Batch, m *MailDetail, organizationID, id string) {
	b.Queue(selectMail, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		m.Mail, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Mail])
		return notFound(err)
	})
	b.Queue(selectRecipients, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		m.Recipients, err = pgx.CollectRows(rows, pgx.RowToStructByName[MailRecipient])
		return err
	})
	b.Queue(selectMailNews, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		m.Events, err = pgx.CollectRows(rows, pgx.RowToStructByName[MailNews])
		return err
	})
}

const findMail = `SELECT ` + mailColumns + ` FROM mail_messages WHERE id = $1`

// FindMail reads a mail by its id alone, for the operator.
func (db *DB) FindMail(ctx context.Context, id string) (Mail, error) {
	rows, err := db.pool.Query(ctx, findMail, id)
	if err != nil {
		return Mail{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Mail])
	if err != nil {
		return m, fmt.Errorf("read mail %s: %w", id, notFound(err))
	}
	return m, nil
}
