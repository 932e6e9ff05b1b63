package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// OperatorOrganization is the organization of the admin key and of the platform's own work.
const OperatorOrganization = "00000000-0000-0000-0000-000000000000"

// An Organization is a tenant.
type Organization struct {
	ID        string          `db:"id"`
	Name      string          `db:"name"`
	State     string          `db:"state"`
	GSTIN     *string         `db:"gstin"`
	Email     *string         `db:"email"`   // where its people read mail
	Address   *string         `db:"address"` // lines as on an envelope
	Plan      string          `db:"plan"`
	Currency  string          `db:"currency"`
	Timezone  string          `db:"timezone"`
	Settings  json.RawMessage `db:"settings"` // an object; see api for its shape
	Version   int64           `db:"version"`
	CreatedAt time.Time       `db:"created_at"`
	UpdatedAt time.Time       `db:"updated_at"`
}

const organizationColumns = `id::text, name, state, gstin, email, address, plan, currency, timezone, settings, version, created_at, updated_at`

const insertOrganization = `
INSERT INTO organizations (id, name, state, gstin, email, address, plan, settings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING ` + organizationColumns

// CreateOrganization inserts an organization in a transaction that sees it (TxAs with its id).
func CreateOrganization(ctx context.Context, tx pgx.Tx, o Organization) (Organization, error) {
	rows, err := tx.Query(ctx, insertOrganization, o.ID, o.Name, o.State, o.GSTIN, o.Email, o.Address, o.Plan, o.Settings)
	if err != nil {
		return o, fmt.Errorf("create organization %s: %w", o.ID, err)
	}
	created, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organization])
	if err != nil {
		return o, fmt.Errorf("create organization %s: %w", o.ID, err)
	}
	return created, nil
}

const selectOrganization = `SELECT ` + organizationColumns + ` FROM organizations WHERE id = $1`

// Organization reads one organization as itself.
func (db *DB) Organization(ctx context.Context, id string) (Organization, error) {
	var o Organization
	err := db.queryAs(ctx, id, func(rows pgx.Rows) (err error) {
		o, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organization])
		return notFound(err)
	}, selectOrganization, id)
	if err != nil {
		return o, fmt.Errorf("read organization %s: %w", id, err)
	}
	return o, nil
}

// LockOrganization reads the transaction's organization as it is now. Nobody else changes it before the
// transaction ends.
func LockOrganization(ctx context.Context, tx pgx.Tx, id string) (Organization, error) {
	rows, err := tx.Query(ctx, selectOrganization+forChange, id)
	if err != nil {
		return Organization{}, fmt.Errorf("lock organization %s: %w", id, err)
	}
	o, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organization])
	if err != nil {
		return o, fmt.Errorf("lock organization %s: %w", id, notFound(err))
	}
	return o, nil
}

const updateOrganization = `
UPDATE organizations
SET name = $3, state = $4, gstin = $5, settings = $6, email = $7, address = $8, version = version + 1, updated_at = now()
WHERE id = $1 AND version = $2
RETURNING ` + organizationColumns

// UpdateOrganization writes the changeable fields if the version is still o.Version, else ErrConflict.
func UpdateOrganization(ctx context.Context, tx pgx.Tx, o Organization) (Organization, error) {
	rows, err := tx.Query(ctx, updateOrganization, o.ID, o.Version, o.Name, o.State, o.GSTIN, o.Settings,
		o.Email, o.Address)
	if err != nil {
		return o, fmt.Errorf("update organization %s: %w", o.ID, err)
	}
	updated, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Organization])
	if notFound(err) == ErrNotFound {
		return o, ErrConflict
	}
	if err != nil {
		return o, fmt.Errorf("update organization %s: %w", o.ID, err)
	}
	return updated, nil
}

// An AIPolicy is what an organization's settings say about models.
type AIPolicy struct {
	LocalOnly bool   // its data never leaves the house
	Mode      string // of a prompt that names none
	// MonthlyBudget is what it pays for the fallback provider, in paise; nil: no limit.
	MonthlyBudget *int64
	Spent         int64 // of it this month, in billionths of a rupee
}

const selectAIPolicy = `
SELECT coalesce((settings #>> '{ai,local_only}')::boolean, false), coalesce(settings #>> '{ai,mode}', ''),
       (settings #>> '{ai,monthly_budget}')::bigint, coalesce(b.spent_nano_inr, 0)
FROM organizations o
LEFT JOIN ai_budgets b ON b.organization_id = o.id AND b.month = date_trunc('month', now() AT TIME ZONE o.timezone)::date
WHERE o.id = $1`

// OrganizationAI reads an organization's AI policy.
func OrganizationAI(ctx context.Context, db Execer, id string) (AIPolicy, error) {
	var p AIPolicy
	if err := db.QueryRow(ctx, selectAIPolicy, id).Scan(&p.LocalOnly, &p.Mode, &p.MonthlyBudget, &p.Spent); err != nil {
		return p, fmt.Errorf("read the AI policy of %s: %w", id, notFound(err))
	}
	return p, nil
}

// AITerms are what a request must know of an organization that submits AI jobs.
type AITerms struct {
	Plan      string
	HasBudget bool
}

const selectAITerms = `
SELECT plan, settings #>> '{ai,monthly_budget}' IS NOT NULL FROM organizations WHERE id = $1`

// AITerms reads an organization's terms as itself.
func (db *DB) AITerms(ctx context.Context, id string) (t AITerms, err error) {
	err = db.queryAs(ctx, id, func(rows pgx.Rows) error {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[AITerms])
		return notFound(err)
	}, selectAITerms, id)
	if err != nil {
		return t, fmt.Errorf("read the AI terms of %s: %w", id, err)
	}
	return t, nil
}
