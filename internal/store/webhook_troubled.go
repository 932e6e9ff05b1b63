package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A TroubledEndpoint is an endpoint that was disabled by the product, or fails.
type TroubledEndpoint struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	DisabledCode   *string    `db:"disabled_code"` // gone or failing; nil: it is enabled, and fails
	Since          *time.Time `db:"since"`         // when it was disabled, or began to fail
	Failures       int        `db:"failures"`      // in a row
}

const selectTroubledEndpoints = `
SELECT e.organization_id::text, e.id::text, e.disabled_code, coalesce(e.disabled_at, l.failing_since) AS since, coalesce(l.failures, 0) AS failures
FROM webhook_endpoints e LEFT JOIN webhook_lanes l ON l.organization_id = e.organization_id AND l.id = e.id
WHERE e.deleted_at IS NULL AND (e.disabled_code IN ('gone', 'failing') OR e.status = 'enabled' AND l.failing_since < now() - $1::interval)
ORDER BY since DESC NULLS LAST LIMIT $2`

// TroubledEndpoints lists endpoints of all organizations that were disabled as they failed, or have failed for so long,
// the latest first.
func (db *DB) TroubledEndpoints(ctx context.Context, failing time.Duration, most int) ([]TroubledEndpoint, error) {
	var list []TroubledEndpoint
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(selectTroubledEndpoints, failing, most).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[TroubledEndpoint])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("look for endpoints that fail: %w", becoming(System, err))
	}
	return list, nil
}
