package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Contact is a person or company that an organization deals with.
type Contact struct {
	OrganizationID  string     `db:"organization_id"`
	ID              string     `db:"id"`
	Name            string     `db:"name"`
	Email           *string    `db:"email"`
	Phone           *string    `db:"phone"`
	Company         *string    `db:"company"`
	Type            string     `db:"type"`   // lead, customer, vendor or employee
	Stage           string     `db:"stage"`  // prospect, contact or customer
	Status          string     `db:"status"` // active, inactive or lost
	Source          *string    `db:"source"`
	GSTIN           *string    `db:"gstin"`
	Address         *string    `db:"address"` // lines as on an envelope
	City            *string    `db:"city"`
	State           *string    `db:"state"`
	LeadScore       *int       `db:"lead_score"` // 0 to 100
	Tags            []string   `db:"tags"`
	Notes           *string    `db:"notes"`
	LastContactedAt *time.Time `db:"last_contacted_at"`
	NextFollowUp    *time.Time `db:"next_follow_up"`
	Version         int64      `db:"version"`
	CreatedAt       time.Time  `db:"created_at"`
	UpdatedAt       time.Time  `db:"updated_at"`
}

// ErrInUse means that other rows refer to the row that was to be deleted.
var ErrInUse = errors.New("in use")

const contactColumns = `organization_id::text, id::text, name, email, phone, company, type, stage, status, source, gstin,
    address, city, state, lead_score, tags, notes, last_contacted_at, next_follow_up, version, created_at, updated_at`

const insertContact = `
INSERT INTO contacts (organization_id, id, name, email, phone, company, type, stage, status, source, gstin, city, state,
                      tags, notes, last_contacted_at, next_follow_up, address)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
RETURNING ` + contactColumns

// CreateContact inserts a contact.
func CreateContact(ctx context.Context, tx pgx.Tx, c Contact) (Contact, error) {
	created, err := writeContact(ctx, tx, insertContact, c.OrganizationID, c.ID, c.Name, c.Email, c.Phone, c.Company,
		c.Type, c.Stage, c.Status, c.Source, c.GSTIN, c.City, c.State, c.Tags, c.Notes, c.LastContactedAt, c.NextFollowUp, c.Address)
	if err != nil {
		return c, fmt.Errorf("create contact %s: %w", c.ID, err)
	}
	return created, nil
}

const updateContact = `
UPDATE contacts
SET name = $4, email = $5, phone = $6, company = $7, type = $8, stage = $9, status = $10, source = $11, gstin = $12,
    city = $13, state = $14, tags = $15, notes = $16, last_contacted_at = $17, next_follow_up = $18,
    address = $19,
    version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3
RETURNING ` + contactColumns

// UpdateContact writes what a client may change if the version is still c.Version, else ErrConflict.
func UpdateContact(ctx context.Context, tx pgx.Tx, c Contact) (Contact, error) {
	updated, err := writeContact(ctx, tx, updateContact, c.OrganizationID, c.ID, c.Version, c.Name, c.Email, c.Phone,
		c.Company, c.Type, c.Stage, c.Status, c.Source, c.GSTIN, c.City, c.State, c.Tags, c.Notes, c.LastContactedAt,
		c.NextFollowUp, c.Address)
	if errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	if err != nil {
		return c, fmt.Errorf("update contact %s: %w", c.ID, err)
	}
	return updated, nil
}

func writeContact(ctx context.Context, tx pgx.Tx, sql string, args ...any) (Contact, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return Contact{}, err
	}
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Contact])
	return c, notFound(err)
}

const deleteContact = `
DELETE FROM contacts WHERE organization_id = $1 AND id = $2 AND ($3::bigint = 0 OR version = $3) RETURNING version`

// DeleteContact deletes a contact, in the given version alone unless that is 0, and gives the version that it
// had. It is ErrInUse when deals or invoices refer to it, also those that are being added at this moment, as
// Postgres makes one of the two wait for the other; the transaction is void then. It is ErrNotFound when there
// is no such contact in that version.
func DeleteContact(ctx context.Context, tx pgx.Tx, organizationID, id string, version int64) (int64, error) {
	err := tx.QueryRow(ctx, deleteContact, organizationID, id, version).Scan(&version)
	if isForeignKeyViolation(err) {
		err = ErrInUse
	}
	if err != nil {
		return 0, fmt.Errorf("delete contact %s: %w", id, notFound(err))
	}
	return version, nil
}

func isForeignKeyViolation(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23503"
}
