package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// The ids are found with the owner's eyes, the deals read under row-level security.
const searchDeals = `
SELECT ` + dealColumns + ` FROM deals
WHERE organization_id = $1 AND id = ANY (ARRAY(
    SELECT search_deals($2::text[], nullif($3, ''), nullif($4, ''), nullif($5, '')::uuid, nullif($6, '')::uuid, $7)))
ORDER BY deals.id DESC`

// SearchDeals lists the deals of a filter whose title contains all words, of which there is one at least.
func (db *DB) SearchDeals(ctx context.Context, organizationID string, w Words, f DealFilter) ([]Deal, error) {
	var deals []Deal
	b := BatchAs(organizationID)
	b.Queue(limitStatements, strconv.FormatInt(max(w.Within.Milliseconds(), 1), 10))
	b.Queue(searchDeals, organizationID, w.contained, f.Status, f.Stage, f.ContactID, f.Before, f.Limit).Query(func(rows pgx.Rows) (err error) {
		deals, err = pgx.CollectRows(rows, pgx.RowToStructByName[Deal])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("search deals of %s: %w", organizationID, tooSlow(err))
	}
	return deals, nil
}
