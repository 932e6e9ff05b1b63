-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of all deliveries, newest first, and one of which only the id is known.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_webhook_deliveries_id ON webhook_deliveries (id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_webhook_deliveries_id;
