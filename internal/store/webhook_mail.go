package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DisabledWebhookToMail is what a mail about an endpoint says that was disabled.
type DisabledWebhookToMail struct {
	MailSender
	URL          string    `db:"url"`
	Description  *string   `db:"description"`
	Reason       string    `db:"reason"`
	DisabledOn   string    `db:"disabled_on"`   // YYYY-MM-DD
	FailingSince time.Time `db:"failing_since"` // of the first delivery that failed before it was disabled
}

const selectDisabledWebhookToMail = `
SELECT ` + mailSenderColumns + `, e.url, e.description, coalesce(e.disabled_reason, '') AS reason,
       (e.disabled_at AT TIME ZONE o.timezone)::date::text AS disabled_on,
       coalesce((SELECT d.created_at FROM webhook_deliveries d
                 WHERE d.organization_id = e.organization_id AND d.endpoint_id = e.id AND d.status = 'failed'
                   AND d.finished_at >= e.disabled_at - interval '4 days' ORDER BY d.id LIMIT 1),
                e.disabled_at) AS failing_since
FROM webhook_endpoints e JOIN organizations o ON o.id = e.organization_id
WHERE e.organization_id = $1 AND e.id = $2 AND e.status = 'disabled' AND e.deleted_at IS NULL`

// DisabledWebhookToMail reads what a mail about a disabled endpoint says, in one query; ErrNotFound when it is not
// disabled any more.
func (db *DB) DisabledWebhookToMail(ctx context.Context, organizationID, endpointID string) (e DisabledWebhookToMail, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[DisabledWebhookToMail])
		return notFound(err)
	}, selectDisabledWebhookToMail, organizationID, endpointID)
	if err != nil {
		return e, fmt.Errorf("read what a mail says about endpoint %s: %w", endpointID, err)
	}
	return e, nil
}
