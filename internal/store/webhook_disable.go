package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Disabling is an endpoint that is to hear of nothing any more, and why.
type Disabling struct {
	OrganizationID, EndpointID string
	Code                       string // gone or failing
	Reason                     string // a sentence for its owner
	URL                        string // that was asked: what another has answered says nothing of this one
	// One that fails is disabled where it still does: so often in a row, or for so long.
	Failures int
	Failing  time.Duration
	// Answered says that it failed by an answer. Where there is none, it may be us who reach nobody.
	Answered bool
}

// A DisabledEndpoint is one as it was disabled.
type DisabledEndpoint struct {
	Version      int64
	Failures     int
	FailingSince *time.Time
}

// Without an answer, so many failures in a row are held against nobody while nobody is reached: others who were well fail
// too, and for an hour none has succeeded. Then it is our network, or the resolver, that is away.
const disableEndpoint = `
UPDATE webhook_endpoints e
SET status = 'disabled', disabled_code = $3, disabled_reason = $4, disabled_at = now(), version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND url = $7 AND status = 'enabled' AND deleted_at IS NULL
  AND ($3 = 'gone' OR EXISTS (
      SELECT FROM webhook_lanes l WHERE l.organization_id = e.organization_id AND l.id = e.id
      AND (l.failing_since <= now() - $6::interval OR l.failures >= $5 AND (
          $8 OR EXISTS (SELECT FROM webhook_lanes o WHERE o.last_success_at >= now() - interval '1 hour')
          OR NOT EXISTS (SELECT FROM webhook_lanes o WHERE o.id <> l.id AND o.failing_since < o.last_failure_at
                         AND o.last_failure_at >= now() - interval '1 hour' AND o.last_success_at < o.failing_since)))))
RETURNING version`

const lockFailures = `
SELECT failures, failing_since FROM webhook_lanes WHERE organization_id = $1 AND id = $2 FOR UPDATE`

// DisableEndpoint disables an endpoint, in the caller's transaction, with what is pending for it. ErrConflict: it is
// not enabled any more, or does not fail any more.
func DisableEndpoint(ctx context.Context, tx pgx.Tx, d Disabling, detail string) (out DisabledEndpoint, err error) {
	err = tx.QueryRow(ctx, disableEndpoint, d.OrganizationID, d.EndpointID, d.Code, d.Reason, d.Failures, d.Failing, d.URL, d.Answered).Scan(&out.Version)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, ErrConflict
	}
	if err == nil {
		err = tx.QueryRow(ctx, lockFailures, d.OrganizationID, d.EndpointID).Scan(&out.Failures, &out.FailingSince)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil // nothing went to it but by hand
		}
	}
	if err == nil {
		err = ResetWebhookLane(ctx, tx, d.OrganizationID, d.EndpointID)
	}
	if err == nil {
		err = EndDeliveries(ctx, tx, WebhookEndpoint{OrganizationID: d.OrganizationID, ID: d.EndpointID}, EndpointDisabled, detail)
	}
	if err != nil {
		return out, fmt.Errorf("disable endpoint %s: %w", d.EndpointID, err)
	}
	return out, nil
}
