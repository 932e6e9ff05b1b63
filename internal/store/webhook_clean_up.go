package store

// Their attempts go with them.
const deleteWebhookDeliveries = `
DELETE FROM webhook_deliveries WHERE ctid IN (
    SELECT ctid FROM webhook_deliveries WHERE created_at < $1 AND finished_at < $1 LIMIT $2)`

const deleteWebhookEvents = `
DELETE FROM webhook_events WHERE ctid IN (
    SELECT e.ctid FROM webhook_events e
    WHERE e.created_at < $1
      AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.organization_id = e.organization_id AND d.event_id = e.id)
    LIMIT $2)`

const deleteWebhookEndpoints = `
DELETE FROM webhook_endpoints WHERE ctid IN (
    SELECT e.ctid FROM webhook_endpoints e
    WHERE e.deleted_at < $1
      AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.organization_id = e.organization_id AND d.endpoint_id = e.id)
    LIMIT $2)`

// Whoever puts a delivery into a lane that was not used for a day uses it, see touchLanes.
const deleteWebhookLanes = `
DELETE FROM webhook_lanes l
WHERE l.updated_at < $1 AND l.ctid IN (
    SELECT o.ctid FROM webhook_lanes o
    WHERE o.updated_at < $1
      AND NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.organization_id = o.organization_id AND e.id = o.id)
      AND NOT EXISTS (SELECT FROM webhook_deliveries d
                      WHERE d.organization_id = o.organization_id AND d.lane_id = o.id AND d.status = 'pending' AND NOT d.admitted)
      AND NOT EXISTS (SELECT FROM webhook_deliveries d
                      WHERE d.organization_id = o.organization_id AND d.lane_id = o.id AND d.status = 'pending' AND d.admitted)
    LIMIT $2)`
