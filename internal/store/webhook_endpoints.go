package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of an endpoint of webhooks, and why it is disabled.
const (
	WebhookEnabled  = "enabled"
	WebhookDisabled = "disabled"

	WebhookDisabledByOwner = "owner"   // its owner wished so
	WebhookGone            = "gone"    // it answered 410
	WebhookFailing         = "failing" // it failed for too long
)

// A WebhookEndpoint is where an organization wants to hear of its facts, and how its receiver does. Its secrets are
// written and never read by requests.
type WebhookEndpoint struct {
	OrganizationID string            `db:"organization_id"`
	ID             string            `db:"id"`
	URL            string            `db:"url"`
	Events         []string          `db:"events"` // types, noun.* or *
	Description    *string           `db:"description"`
	Headers        map[string]string `db:"headers"`    // sent with every delivery
	RateLimit      *int              `db:"rate_limit"` // deliveries a minute; nil: as many as come
	Status         string            `db:"status"`
	DisabledCode   *string           `db:"disabled_code"`
	DisabledReason *string           `db:"disabled_reason"`
	DisabledAt     *time.Time        `db:"disabled_at"`
	// PreviousSecretUntil is when the secret before the newest ends; nil: it has.
	PreviousSecretUntil *time.Time `db:"previous_secret_until"`
	Version             int64      `db:"version"`
	CreatedAt           time.Time  `db:"created_at"`
	UpdatedAt           time.Time  `db:"updated_at"`

	WebhookHealth
}

// WebhookHealth is how the receiver of a lane does.
type WebhookHealth struct {
	Failures      int        `db:"failures"` // in a row
	FailingSince  *time.Time `db:"failing_since"`
	PausedUntil   *time.Time `db:"paused_until"` // nil: it is not paused, or no longer
	LastSuccessAt *time.Time `db:"last_success_at"`
	LastFailureAt *time.Time `db:"last_failure_at"`
}

const selectWebhookEndpoints = `
SELECT e.organization_id::text, e.id::text, e.url, e.events, e.description, e.headers, e.rate_limit, e.status,
       e.disabled_code, e.disabled_reason, e.disabled_at,
       CASE WHEN e.previous_secret_until > now() THEN e.previous_secret_until END AS previous_secret_until,
       e.version, e.created_at, e.updated_at, coalesce(l.failures, 0) AS failures, l.failing_since,
       CASE WHEN l.paused_until > now() THEN l.paused_until END AS paused_until, l.last_success_at, l.last_failure_at
FROM webhook_endpoints e LEFT JOIN webhook_lanes l ON l.organization_id = e.organization_id AND l.id = e.id
WHERE e.organization_id = $1 AND e.deleted_at IS NULL`

const selectWebhookEndpoint = selectWebhookEndpoints + ` AND e.id = $2`

// WebhookEndpoint reads an endpoint of an organization's that was not deleted.
func (db *DB) WebhookEndpoint(ctx context.Context, organizationID, id string) (WebhookEndpoint, error) {
	var e WebhookEndpoint
	err := db.queryAs(ctx, organizationID, oneWebhookEndpoint(&e), selectWebhookEndpoint, organizationID, id)
	if err != nil {
		return e, fmt.Errorf("read webhook endpoint %s: %w", id, err)
	}
	return e, nil
}

func oneWebhookEndpoint(e *WebhookEndpoint) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[WebhookEndpoint])
		return notFound(err)
	}
}

const pageOfWebhookEndpoints = selectWebhookEndpoints + `
  AND ($2 = '' OR e.status = $2) AND ($3 = '' OR e.id < nullif($3, '')::uuid)
ORDER BY e.id DESC LIMIT $4`

// WebhookEndpoints lists an organization's endpoints that were not deleted, newest first, behind the id in before (""
// from the start); those of one status alone, unless that is "".
func (db *DB) WebhookEndpoints(ctx context.Context, organizationID, status, before string, limit int) ([]WebhookEndpoint, error) {
	var list []WebhookEndpoint
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[WebhookEndpoint])
		return err
	}, pageOfWebhookEndpoints, organizationID, status, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints of %s: %w", organizationID, err)
	}
	return list, nil
}

const lockWebhookEndpoint = selectWebhookEndpoint + ` FOR NO KEY UPDATE OF e`

// LockWebhookEndpoint reads an endpoint that is about to be changed, which nobody else changes until the transaction
// ends. How its receiver does may change meanwhile.
func LockWebhookEndpoint(ctx context.Context, tx pgx.Tx, organizationID, id string) (WebhookEndpoint, error) {
	var e WebhookEndpoint
	rows, err := tx.Query(ctx, lockWebhookEndpoint, organizationID, id)
	if err == nil {
		err = oneWebhookEndpoint(&e)(rows)
	}
	if err != nil {
		return e, fmt.Errorf("lock webhook endpoint %s: %w", id, err)
	}
	return e, nil
}

// ErrTooMany means that the organization has as many things of that sort as it may.
var ErrTooMany = errors.New("there are too many")

const (
	countWebhookEndpoints = `SELECT count(*) FROM webhook_endpoints WHERE organization_id = $1 AND deleted_at IS NULL`
	insertWebhookEndpoint = `
INSERT INTO webhook_endpoints (organization_id, id, url, events, description, headers, rate_limit, secret)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
)

// CreateWebhookEndpoint inserts an enabled endpoint with its secret. It is ErrTooMany when the organization has atMost
// already: its row is locked, so that none slips in between.
func CreateWebhookEndpoint(ctx context.Context, tx pgx.Tx, e WebhookEndpoint, secret string, atMost int) (WebhookEndpoint, error) {
	if _, err := LockOrganization(ctx, tx, e.OrganizationID); err != nil {
		return e, fmt.Errorf("create webhook endpoint %s: %w", e.ID, err)
	}
	var n int
	err := tx.QueryRow(ctx, countWebhookEndpoints, e.OrganizationID).Scan(&n)
	if err == nil && n >= atMost {
		err = ErrTooMany
	}
	if err != nil {
		return e, fmt.Errorf("create webhook endpoint %s: %w", e.ID, err)
	}
	b := &pgx.Batch{}
	b.Queue(insertWebhookEndpoint, e.OrganizationID, e.ID, e.URL, e.Events, e.Description, e.Headers, e.RateLimit, secret)
	b.Queue(selectWebhookEndpoint, e.OrganizationID, e.ID).Query(oneWebhookEndpoint(&e))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return e, fmt.Errorf("create webhook endpoint %s: %w", e.ID, err)
	}
	return e, nil
}

const updateWebhookEndpoint = `
UPDATE webhook_endpoints
SET url = $4, events = $5, description = $6, headers = $7, rate_limit = $8, status = $9, disabled_code = $10, disabled_reason = $11,
    disabled_at = CASE WHEN $9 = 'disabled' THEN coalesce(disabled_at, now()) END, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL`

// UpdateWebhookEndpoint writes an endpoint if the version is still e.Version, else it is ErrConflict. When it was
// disabled stays, unless it was not.
func UpdateWebhookEndpoint(ctx context.Context, tx pgx.Tx, e WebhookEndpoint) (WebhookEndpoint, error) {
	return changeWebhookEndpoint(ctx, tx, "update", e, updateWebhookEndpoint,
		e.URL, e.Events, e.Description, e.Headers, e.RateLimit, e.Status, e.DisabledCode, e.DisabledReason)
}

const rotateWebhookSecret = `
UPDATE webhook_endpoints
SET secret = $4, previous_secret_until = CASE WHEN $5::interval > '0' THEN now() + $5::interval END, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL`

// RotateWebhookSecret gives an endpoint a new secret. The one before stays valid for that long, the one before that no
// longer. It is ErrConflict if the version is no longer e.Version.
func RotateWebhookSecret(ctx context.Context, tx pgx.Tx, e WebhookEndpoint, secret string, overlap time.Duration) (WebhookEndpoint, error) {
	return changeWebhookEndpoint(ctx, tx, "rotate the secret of", e, rotateWebhookSecret, secret, overlap)
}

func changeWebhookEndpoint(ctx context.Context, tx pgx.Tx, verb string, e WebhookEndpoint, sql string, args ...any) (WebhookEndpoint, error) {
	tag, err := tx.Exec(ctx, sql, append([]any{e.OrganizationID, e.ID, e.Version}, args...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrConflict
	}
	var rows pgx.Rows
	if err == nil {
		rows, err = tx.Query(ctx, selectWebhookEndpoint, e.OrganizationID, e.ID)
	}
	if err == nil {
		err = oneWebhookEndpoint(&e)(rows)
	}
	if err != nil {
		return e, fmt.Errorf("%s webhook endpoint %s: %w", verb, e.ID, err)
	}
	return e, nil
}

const resetWebhookLane = `
UPDATE webhook_lanes SET failures = 0, failing_since = NULL, successes = 0, paused_until = NULL, updated_at = now()
WHERE organization_id = $1 AND id = $2`

// ResetWebhookLane forgets how the receiver of a lane did: it is another one now, or was mended.
func ResetWebhookLane(ctx context.Context, tx pgx.Tx, organizationID, id string) error {
	if _, err := tx.Exec(ctx, resetWebhookLane, organizationID, id); err != nil {
		return fmt.Errorf("reset webhook lane %s: %w", id, err)
	}
	return nil
}

// Headers are what others gave to get in; nobody needs them any more.
const deleteWebhookEndpoint = `
UPDATE webhook_endpoints SET deleted_at = now(), headers = '{}', version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL`

// DeleteWebhookEndpoint deletes an endpoint if the version is still e.Version, else it is ErrConflict. Its row and those
// of its deliveries are cleaned up later.
func DeleteWebhookEndpoint(ctx context.Context, tx pgx.Tx, e WebhookEndpoint) error {
	tag, err := tx.Exec(ctx, deleteWebhookEndpoint, e.OrganizationID, e.ID, e.Version)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("delete webhook endpoint %s: %w", e.ID, err)
	}
	return nil
}
