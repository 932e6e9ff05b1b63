package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectContactsNamed = `SELECT ` + contactColumns + ` FROM contacts WHERE organization_id = $1 AND id = ANY ($2::uuid[])`

// ContactsNamed reads contacts by their ids, for lists of what refers to them. Ids may repeat; what is no
// contact of the organization is left out.
func (db *DB) ContactsNamed(ctx context.Context, organizationID string, ids []string) (map[string]Contact, error) {
	contacts := make(map[string]Contact, len(ids))
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Contact])
		for _, c := range list {
			contacts[c.ID] = c
		}
		return err
	}, selectContactsNamed, organizationID, ids)
	if err != nil {
		return nil, fmt.Errorf("read contacts of %s: %w", organizationID, err)
	}
	return contacts, nil
}
