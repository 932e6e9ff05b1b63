-- +goose NO TRANSACTION
-- +goose Up
-- Serves lists by stage, as idx_deals_org_stage_newest did, and the dashboard, which adds up the value of each
-- stage and finds it here without reading the deals themselves.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deals_org_stage_value ON deals (organization_id, stage, id) INCLUDE (value);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_deals_org_stage_value;
