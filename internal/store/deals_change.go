package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoContact means that what was written names a contact that the organization does not have, or no
// longer has.
var ErrNoContact = errors.New("no such contact")

// ErrTransition means that the guard of a table refused a move from one state to another.
var ErrTransition = errors.New("no such transition")

const insertDeal = `
INSERT INTO deals (organization_id, id, contact_id, title, value, stage, probability, expected_close_date, lost_reason,
                   closed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $6 IN ('won', 'lost') THEN now() END)
RETURNING ` + dealColumns

// CreateDeal inserts a deal. ErrNoContact: there is nobody to make it with.
func CreateDeal(ctx context.Context, tx pgx.Tx, d Deal) (Deal, error) {
	return writeDeal(ctx, tx, "create", d, insertDeal, d.OrganizationID, d.ID, d.ContactID, d.Title, d.Value, d.Stage,
		d.Probability, d.ExpectedCloseDate, d.LostReason)
}

// LockDeal reads one deal as it is now, with its insights. Nobody else changes it before the transaction ends.
func LockDeal(ctx context.Context, tx pgx.Tx, organizationID, id string) (Deal, error) {
	var d Deal
	b := &pgx.Batch{}
	queueDeal(b, &d, selectDeal+forChange, organizationID, id)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return d, fmt.Errorf("lock deal %s: %w", id, err)
	}
	return d, nil
}

const updateDeal = `
UPDATE deals
SET contact_id = $4, title = $5, value = $6, stage = $7, probability = $8, expected_close_date = $9, lost_reason = $10,
    stage_changed_at = CASE WHEN stage = $7 THEN stage_changed_at ELSE now() END,
    closed_at = CASE WHEN $7 NOT IN ('won', 'lost') THEN NULL WHEN stage = $7 THEN closed_at ELSE now() END,
    version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3
RETURNING ` + dealColumns

// UpdateDeal writes the changeable fields if the version is still d.Version, else ErrConflict. ErrNoContact:
// its contact is not there. ErrTransition: it can't go to that stage.
func UpdateDeal(ctx context.Context, tx pgx.Tx, d Deal) (Deal, error) {
	return writeDeal(ctx, tx, "update", d, updateDeal, d.OrganizationID, d.ID, d.Version, d.ContactID, d.Title, d.Value,
		d.Stage, d.Probability, d.ExpectedCloseDate, d.LostReason)
}

const deleteDeal = `
DELETE FROM deals WHERE organization_id = $1 AND id = $2 AND version = $3
RETURNING ` + dealColumns

// DeleteDeal deletes a deal if the version is still d.Version, else ErrConflict.
func DeleteDeal(ctx context.Context, tx pgx.Tx, d Deal) error {
	_, err := writeDeal(ctx, tx, "delete", d, deleteDeal, d.OrganizationID, d.ID, d.Version)
	return err
}

func writeDeal(ctx context.Context, tx pgx.Tx, verb string, d Deal, sql string, args ...any) (Deal, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err == nil {
		insights := d.Insights
		d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Deal])
		d.Insights = insights
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = ErrConflict
	case violates(err, "deals_organization_id_contact_id_fkey"):
		err = ErrNoContact
	case violates(err, "deals_transition"):
		err = ErrTransition
	}
	if err != nil {
		return d, fmt.Errorf("%s deal %s: %w", verb, args[1], err)
	}
	return d, nil
}

// violates reports whether a constraint of that name refused a write.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] == "23" && pg.ConstraintName == constraint
}
