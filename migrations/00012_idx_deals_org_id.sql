-- +goose NO TRANSACTION
-- +goose Up
-- The operators' guide promises this index by name; longer ones serve the same queries.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deals_org_id ON deals (organization_id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_deals_org_id;
