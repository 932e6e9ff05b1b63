package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A MailTemplate is an organization's own text for its mails. One of the name of a template of the product takes
// its place.
type MailTemplate struct {
	OrganizationID string    `db:"organization_id"`
	ID             string    `db:"id"`
	Name           string    `db:"name"`
	Subject        string    `db:"subject"`
	Text           string    `db:"text"` // "": made from the HTML
	HTML           string    `db:"html"` // "": none
	Version        int64     `db:"version"`
	CreatedAt      time.Time `db:"created_at"`
	UpdatedAt      time.Time `db:"updated_at"`
}

// ErrNameTaken means that the organization has another thing of that sort with that name.
var ErrNameTaken = errors.New("the name is taken")

const uniqueTemplateName = "mail_templates_organization_id_name_key"

const mailTemplateColumns = `organization_id::text, id::text, name, subject, text, html, version, created_at, updated_at`

const insertMailTemplate = `
INSERT INTO mail_templates (organization_id, id, name, subject, text, html) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING ` + mailTemplateColumns

// CreateMailTemplate inserts a template. It is ErrNameTaken, and the transaction void, when there is one of its name.
func CreateMailTemplate(ctx context.Context, tx pgx.Tx, t MailTemplate) (MailTemplate, error) {
	created, err := writeMailTemplate(ctx, tx, insertMailTemplate, t.OrganizationID, t.ID, t.Name, t.Subject, t.Text, t.HTML)
	if err != nil {
		return t, fmt.Errorf("create mail template %s: %w", t.ID, err)
	}
	return created, nil
}

const lockMailTemplate = `
SELECT ` + mailTemplateColumns + ` FROM mail_templates WHERE organization_id = $1 AND id = $2 FOR UPDATE`

// LockMailTemplate reads a template that is about to be changed, which nobody else changes until the transaction
// ends.
func LockMailTemplate(ctx context.Context, tx pgx.Tx, organizationID, id string) (MailTemplate, error) {
	t, err := writeMailTemplate(ctx, tx, lockMailTemplate, organizationID, id)
	if err != nil {
		return t, fmt.Errorf("lock mail template %s: %w", id, err)
	}
	return t, nil
}

const updateMailTemplate = `
UPDATE mail_templates SET name = $4, subject = $5, text = $6, html = $7, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3
RETURNING ` + mailTemplateColumns

// UpdateMailTemplate writes a template if the version is still t.Version, else it is ErrConflict. It is ErrNameTaken,
// and the transaction void, when there is another of its name.
func UpdateMailTemplate(ctx context.Context, tx pgx.Tx, t MailTemplate) (MailTemplate, error) {
	updated, err := writeMailTemplate(ctx, tx, updateMailTemplate, t.OrganizationID, t.ID, t.Version, t.Name, t.Subject, t.Text, t.HTML)
	if errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	if err != nil {
		return t, fmt.Errorf("update mail template %s: %w", t.ID, err)
	}
	return updated, nil
}

func writeMailTemplate(ctx context.Context, tx pgx.Tx, sql string, args ...any) (MailTemplate, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return MailTemplate{}, err
	}
	t, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[MailTemplate])
	if IsUniqueViolation(err, uniqueTemplateName) {
		return t, ErrNameTaken
	}
	return t, notFound(err)
}

const deleteMailTemplate = `DELETE FROM mail_templates WHERE organization_id = $1 AND id = $2 AND version = $3`

// DeleteMailTemplate deletes a template if the version is still t.Version, else it is ErrConflict.
func DeleteMailTemplate(ctx context.Context, tx pgx.Tx, t MailTemplate) error {
	tag, err := tx.Exec(ctx, deleteMailTemplate, t.OrganizationID, t.ID, t.Version)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("delete mail template %s: %w", t.ID, err)
	}
	return nil
}

const selectMailTemplate = `SELECT ` + mailTemplateColumns + ` FROM mail_templates WHERE organization_id = $1 AND id = $2`

// MailTemplate reads a template of an organization's.
func (db *DB) MailTemplate(ctx context.Context, organizationID, id string) (MailTemplate, error) {
	t, err := db.readMailTemplate(ctx, organizationID, selectMailTemplate, id)
	if err != nil {
		return t, fmt.Errorf("read mail template %s: %w", id, err)
	}
	return t, nil
}

const selectMailTemplateNamed = `SELECT ` + mailTemplateColumns + ` FROM mail_templates WHERE organization_id = $1 AND name = $2`

// MailTemplateNamed reads an organization's own template of a name. It is ErrNotFound where there is none, and the
// product's is meant if it has one.
func (db *DB) MailTemplateNamed(ctx context.Context, organizationID, name string) (MailTemplate, error) {
	t, err := db.readMailTemplate(ctx, organizationID, selectMailTemplateNamed, name)
	if err != nil {
		return t, fmt.Errorf("read mail template %s of %s: %w", name, organizationID, err)
	}
	return t, nil
}

func (db *DB) readMailTemplate(ctx context.Context, organizationID, sql, which string) (MailTemplate, error) {
	var t MailTemplate
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[MailTemplate])
		return notFound(err)
	}, sql, organizationID, which)
	return t, err
}

// The texts of a page of templates would be megabytes.
const selectMailTemplates = `
SELECT organization_id::text, id::text, name, subject, '' AS text, '' AS html, version, created_at, updated_at
FROM mail_templates
WHERE organization_id = $1 AND ($2 = '' OR name = $2) AND ($3 = '' OR id < nullif($3, '')::uuid)
ORDER BY mail_templates.id DESC LIMIT $4`

// MailTemplates lists an organization's templates without text and HTML, newest first, behind the id in before (""
// from the start); of one name alone, unless that is "".
func (db *DB) MailTemplates(ctx context.Context, organizationID, name, before string, limit int) ([]MailTemplate, error) {
	var list []MailTemplate
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[MailTemplate])
		return err
	}, selectMailTemplates, organizationID, name, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list mail templates of %s: %w", organizationID, err)
	}
	return list, nil
}
