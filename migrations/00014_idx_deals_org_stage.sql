-- +goose NO TRANSACTION
-- +goose Up
-- The operators' guide promises this index by name; longer ones serve the same queries.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deals_org_stage ON deals (organization_id, stage);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_deals_org_stage;
