package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An AdminView is a question to one of the operator's lists that was given a name.
type AdminView struct {
	ID        string    `db:"id"`
	Page      string    `db:"page"`
	Name      string    `db:"name"`
	Query     string    `db:"query"`
	CreatedBy string    `db:"created_by"`
	CreatedAt time.Time `db:"created_at"`
}

// mostViews keeps the list of a page one that is read at a glance.
const mostViews = 200

const selectViews = `
SELECT id::text, page, name, query, created_by, created_at FROM admin_views WHERE page = $1 ORDER BY lower(name) LIMIT $2`

// AdminViews lists the views of a page by their names.
func AdminViews(ctx context.Context, tx pgx.Tx, page string) ([]AdminView, error) {
	rows, err := tx.Query(ctx, selectViews, page, mostViews)
	if err != nil {
		return nil, fmt.Errorf("list views of %s: %w", page, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AdminView])
	if err != nil {
		return nil, fmt.Errorf("list views of %s: %w", page, err)
	}
	return list, nil
}

const (
	countViews = `SELECT count(*) FROM admin_views WHERE page = $1`
	insertView = `
INSERT INTO admin_views (id, page, name, query, created_by) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING created_at`
)

// InsertAdminView keeps a view. It is ErrConflict when there is one of that name, or the page has as many as it may.
func InsertAdminView(ctx context.Context, tx pgx.Tx, v *AdminView) error {
	var n int
	if err := tx.QueryRow(ctx, countViews, v.Page).Scan(&n); err != nil {
		return fmt.Errorf("keep view %s: %w", v.Name, err)
	}
	if n >= mostViews {
		return fmt.Errorf("keep view %s: %w", v.Name, ErrConflict)
	}
	err := tx.QueryRow(ctx, insertView, v.ID, v.Page, v.Name, v.Query, v.CreatedBy).Scan(&v.CreatedAt)
	if notFound(err) == ErrNotFound {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("keep view %s: %w", v.Name, err)
	}
	return nil
}

const deleteView = `DELETE FROM admin_views WHERE id = $1 RETURNING id::text, page, name, query, created_by, created_at`

// DeleteAdminView forgets a view and gives what it was.
func DeleteAdminView(ctx context.Context, tx pgx.Tx, id string) (AdminView, error) {
	rows, err := tx.Query(ctx, deleteView, id)
	if err != nil {
		return AdminView{}, fmt.Errorf("delete view %s: %w", id, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AdminView])
	if err != nil {
		return v, fmt.Errorf("delete view %s: %w", id, notFound(err))
	}
	return v, nil
}

// A NamedOrganization names an organization.
type NamedOrganization struct {
	ID   string `db:"id"`
	Name string `db:"name"`
}

// Newest first, as whom an operator looks for has often just come; names are few enough to be read through.
const findOrganizations = `
SELECT id::text, name FROM organizations
WHERE $1 = '' OR position(lower($1) IN lower(name)) > 0 OR starts_with(organizations.id::text, lower($1))
ORDER BY organizations.id DESC LIMIT $2`

// FindOrganizations finds organizations by a part of their names, or the beginning of their ids.
func FindOrganizations(ctx context.Context, tx pgx.Tx, part string, limit int) ([]NamedOrganization, error) {
	rows, err := tx.Query(ctx, findOrganizations, part, limit)
	if err != nil {
		return nil, fmt.Errorf("find organizations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[NamedOrganization])
	if err != nil {
		return nil, fmt.Errorf("find organizations: %w", err)
	}
	return list, nil
}

const organizationExists = `SELECT true FROM organizations WHERE id = $1`

// OrganizationExists is ErrNotFound for an id that is no organization's, and not the operator's either.
func OrganizationExists(ctx context.Context, tx pgx.Tx, id string) error {
	if id == OperatorOrganization {
		return nil
	}
	var there bool
	if err := tx.QueryRow(ctx, organizationExists, id).Scan(&there); err != nil {
		return fmt.Errorf("find organization %s: %w", id, notFound(err))
	}
	return nil
}
