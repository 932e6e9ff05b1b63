package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// An AnyMailFilter narrows a list of mails of all organizations. Zero fields don't.
type AnyMailFilter struct {
	State          string
	OrganizationID string
	Stream         string
	Template       string // WithoutTemplate: those that have none
	Address        string // of a recipient, in any capitals
	Domain         string // of a recipient, in lower case
	QueueID        string // the mail server's name for what it accepted
	ID             string // that of the mail, which is its job's
	CreatedAfter   time.Time
	CreatedBefore  time.Time
	Before         string // id: only older ones
	Limit          int
}

// WithoutTemplate stands for the mails whose sender wrote them.
const WithoutTemplate = "-"

// An AnyMail is a mail of any organization as lists show it.
type AnyMail struct {
	Mail
	Organization *string         `db:"organization"`
	Recipients   []MailAddressee `db:"recipients"`
}

// The page is cut before its recipients are looked up.
const (
	selectAnyMails = `
SELECT page.*, (SELECT name FROM organizations o WHERE o.id = page.organization_id::uuid) AS organization, recipients
FROM (SELECT ` + mailColumns + ` FROM mail_messages WHERE `
	recipientsOfAnyMails = `) AS page
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('address', address, 'field', field, 'state', state) ORDER BY position), '[]') AS recipients
    FROM mail_recipients r WHERE r.organization_id = page.organization_id::uuid AND r.message_id = page.id::uuid
) AS shown
ORDER BY page.id DESC`
)

// The address is kept backwards in the index, so that all of a domain lie together.
const backwards = `reverse(lower(address)) COLLATE "C"`

const (
	mailsToAnAddress = `id = ANY (ARRAY(SELECT message_id FROM mail_recipients WHERE ` + backwards + ` = reverse(lower(?))`
	mailsOfAQueue    = `id = ANY (ARRAY(SELECT message_id FROM mail_recipients WHERE queue_id = ?))`
	// 0x10FFFF is behind every character that an address may have.
	toADomain      = backwards + ` >= reverse('@' || ?) AND ` + backwards + ` < reverse('@' || ?) || U&'\+10FFFF'`
	mailsToADomain = `id = ANY (ARRAY(SELECT message_id FROM mail_recipients WHERE ` + toADomain + `))`
	// A domain that many write to is met soon on the way from the newest mail on, which OFFSET keeps from becoming a join.
	mailsOfABusyDomain = `EXISTS (SELECT FROM mail_recipients r WHERE r.organization_id = mail_messages.organization_id` +
		` AND r.message_id = mail_messages.id AND r.address ILIKE '%@' || ? OFFSET 0)`
)

// busyDomain is how many recipients make a domain one of which the newest are looked for, and not all.
const busyDomain = 500

const countDomain = `SELECT count(*) FROM (SELECT FROM mail_recipients WHERE ` + backwards + ` >= reverse('@' || $1)
    AND ` + backwards + ` < reverse('@' || $1) || U&'\+10FFFF' ORDER BY ` + backwards + ` LIMIT $2) AS counted`

// AnyMails lists mails over all organizations, newest first.
func AnyMails(ctx context.Context, tx pgx.Tx, f AnyMailFilter) ([]AnyMail, error) {
	w, err := f.where(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, selectAnyMails+w.sql()+" ORDER BY mail_messages.id DESC LIMIT "+w.value(f.Limit)+recipientsOfAnyMails, w.args...)
	return rowsOf[AnyMail](rows, err, "list mails of all organizations")
}

func (f AnyMailFilter) where(ctx context.Context, tx pgx.Tx) (w whereClause, err error) {
	switch f.State {
	case MailFailed, MailSuppressed, MailCancelled: // have an index of their own, which the statement must name
		w.conditions = append(w.conditions, "state = '"+f.State+"'")
	default:
		w.text("state = ?", f.State)
	}
	w.text("organization_id = ?", f.OrganizationID)
	w.text("stream = ?", f.Stream)
	w.text("id = ?", f.ID)
	if f.Template == WithoutTemplate {
		w.conditions = append(w.conditions, "template IS NULL")
	} else {
		w.text("template = ?", f.Template)
	}
	f.address(&w)
	w.text(mailsOfAQueue, f.QueueID)
	if f.Domain != "" {
		if err := f.domain(ctx, tx, &w); err != nil {
			return w, err
		}
	}
	w.span("created_at", f.CreatedAfter, f.CreatedBefore)
	w.text("id < ?", f.Before)
	return w, nil
}

// address looks for an address, and where nothing else narrows the list for as many mails as it shows.
func (f AnyMailFilter) address(w *whereClause) {
	if f.Address == "" {
		return
	}
	alone := len(w.conditions) == 0 && f.QueueID == "" && f.Domain == "" && f.CreatedAfter.IsZero() && f.CreatedBefore.IsZero()
	w.add(mailsToAnAddress, f.Address)
	condition := &w.conditions[len(w.conditions)-1]
	if f.Before != "" {
		*condition += ` AND message_id < ` + w.value(f.Before)
	}
	if alone {
		*condition += ` ORDER BY ` + backwards + ` DESC, message_id DESC LIMIT ` + w.value(f.Limit)
	}
	*condition += `))`
}

// domain looks for a domain in the way that finds it soonest.
func (f AnyMailFilter) domain(ctx context.Context, tx pgx.Tx, w *whereClause) error {
	var n int
	if err := tx.QueryRow(ctx, countDomain, f.Domain, busyDomain).Scan(&n); err != nil {
		return fmt.Errorf("count the mails to a domain: %w", err)
	}
	if n < busyDomain {
		w.add(mailsToADomain, f.Domain)
		return nil
	}
	w.add(mailsOfABusyDomain, strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Domain))
	return nil
}

const findMailOwner = `SELECT organization_id::text FROM mail_messages WHERE id = $1`

// MailOwner finds whose mail it is by its id alone; ErrNotFound when there is none.
func MailOwner(ctx context.Context, tx pgx.Tx, id string) (organizationID string, err error) {
	if err := tx.QueryRow(ctx, findMailOwner, id).Scan(&organizationID); err != nil {
		return "", fmt.Errorf("find mail %s: %w", id, notFound(err))
	}
	return organizationID, nil
}

const selectMailJob = `SELECT kind, input FROM jobs WHERE organization_id = $1 AND id = $2`

// MailInput is what the job of a mail was given, from which the mail is written; nil: the job is no longer kept, or
// none was made.
func MailInput(ctx context.Context, tx pgx.Tx, organizationID, id string) ([]byte, error) {
	var kind string
	var input []byte
	err := tx.QueryRow(ctx, selectMailJob, organizationID, id).Scan(&kind, &input)
	switch {
	case notFound(err) == ErrNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read what mail %s is written from: %w", id, err)
	}
	return input, nil
}

const organizationName = `SELECT name FROM organizations WHERE id = $1`

// OrganizationName is what an organization is called; "" where there is none.
func OrganizationName(ctx context.Context, tx pgx.Tx, id string) (name string, err error) {
	err = tx.QueryRow(ctx, organizationName, id).Scan(&name)
	if err != nil && notFound(err) != ErrNotFound {
		return "", fmt.Errorf("read the name of organization %s: %w", id, err)
	}
	return name, nil
}

// MailIDOf reads the id of a mail from what somebody has at hand: the id, or a Message-ID as it stands in the mail.
// "": it is neither.
func MailIDOf(text string) string {
	text = strings.Trim(strings.TrimSpace(text), "<>")
	text, _, _ = strings.Cut(text, "@")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return ""
	}
	return id.String()
}
