package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectOrganizations = `
SELECT ` + organizationColumns + ` FROM organizations WHERE id <> $1
ORDER BY created_at DESC, organizations.id DESC LIMIT $2`

// Organizations lists the tenants for the operator, newest first. Only System sees more than one.
func (db *DB) Organizations(ctx context.Context, limit int) ([]Organization, error) {
	var list []Organization
	b := &pgx.Batch{}
	b.Queue(selectOrganizations, OperatorOrganization, limit).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Organization])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	return list, nil
}
