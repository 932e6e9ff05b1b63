-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of the deliveries that failed: among many others they are rare.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_webhook_deliveries_failed ON webhook_deliveries (id) WHERE (status = 'failed'::text);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_webhook_deliveries_failed;
