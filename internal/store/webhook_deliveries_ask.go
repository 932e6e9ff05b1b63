package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A TestDelivery is a delivery that somebody asked for to see whether an endpoint hears.
type TestDelivery struct {
	OrganizationID, ID, EndpointID, EventID, EventType string
	Body                                               string // the event as it is sent
}

const (
	insertWebhookLane = `
INSERT INTO webhook_lanes (organization_id, id) VALUES ($1, $2) ON CONFLICT (organization_id, id) DO NOTHING`
	insertTestEvent    = `INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, $2, $3, $4)`
	insertTestDelivery = `
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, admitted)
VALUES ($1, $2, $3, $3, $4, $5, 'test', true)`
)

// InsertTestDelivery writes a delivery that goes ahead of all others. Whoever does so states
// events.WebhookDeliveryRequested in the same transaction.
func InsertTestDelivery(ctx context.Context, tx pgx.Tx, d TestDelivery) (ListedDelivery, error) {
	var made ListedDelivery
	b := &pgx.Batch{}
	b.Queue(insertWebhookLane, d.OrganizationID, d.EndpointID)
	b.Queue(insertTestEvent, d.OrganizationID, d.EventID, d.EventType, d.Body)
	b.Queue(insertTestDelivery, d.OrganizationID, d.ID, d.EndpointID, d.EventID, d.EventType)
	b.Queue(oneDelivery, d.OrganizationID, d.ID, d.EndpointID).Query(oneListedDelivery(&made))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return made, fmt.Errorf("insert test delivery %s: %w", d.ID, err)
	}
	return made, nil
}

const (
	lockDelivery = `SELECT id::text FROM webhook_deliveries WHERE organization_id = $1 AND id = $2` + forChange
	// An event is kept for as long as a delivery of it.
	rerunDelivery = `
UPDATE webhook_deliveries
SET status = 'pending', run = run + 1, begun_at = now(), attempts = 0, admitted = true, next_attempt_at = now(),
    status_code = NULL, error_code = NULL, error = NULL, finished_at = NULL, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND run = $3`
)

// LockDelivery reads a delivery of an endpoint, "" for a callback, that is about to be changed, which nobody else
// changes until the transaction ends.
func LockDelivery(ctx context.Context, tx pgx.Tx, organizationID, endpointID, id string) (ListedDelivery, error) {
	if _, err := tx.Exec(ctx, lockDelivery, organizationID, id); err != nil {
		return ListedDelivery{}, fmt.Errorf("lock webhook delivery %s: %w", id, err)
	}
	return DeliveryIn(ctx, tx, organizationID, endpointID, id)
}

// RerunDelivery gives a delivery a new run that is due now and goes ahead of all others; the old run is overtaken. It
// is ErrConflict if its run is no longer d.Run. Whoever does so states events.WebhookDeliveryRequested in the same
// transaction.
func RerunDelivery(ctx context.Context, tx pgx.Tx, d ListedDelivery) (ListedDelivery, error) {
	tag, err := tx.Exec(ctx, rerunDelivery, d.OrganizationID, d.ID, d.Run)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrConflict
	}
	if err != nil {
		return d, fmt.Errorf("run webhook delivery %s again: %w", d.ID, err)
	}
	return DeliveryIn(ctx, tx, d.OrganizationID, deref(d.EndpointID), d.ID)
}

// A job of River's that comes for one of these finds that it has ended, and one that is at it now ends it itself. What
// is beyond the limit ends as it comes to its turn.
const endDeliveries = `
UPDATE webhook_deliveries d
SET status = 'failed', error_code = $3, error = $4, admitted = false, next_attempt_at = NULL, finished_at = now(), updated_at = now()
FROM (SELECT id FROM webhook_deliveries
      WHERE organization_id = $1 AND lane_id = $2 AND status = 'pending' AND ($3 = 'endpoint_deleted' OR purpose <> 'test')
      ORDER BY admitted DESC, id LIMIT 10000 FOR UPDATE SKIP LOCKED) AS pending
WHERE d.organization_id = $1 AND d.id = pending.id`

// EndDeliveries ends what is pending for an endpoint that its owner has disabled (EndpointDisabled, tests go on) or
// deleted (EndpointDeleted), without an attempt.
func EndDeliveries(ctx context.Context, tx pgx.Tx, e WebhookEndpoint, code, detail string) error {
	if _, err := tx.Exec(ctx, endDeliveries, e.OrganizationID, e.ID, code, detail); err != nil {
		return fmt.Errorf("end deliveries to endpoint %s: %w", e.ID, err)
	}
	return nil
}
