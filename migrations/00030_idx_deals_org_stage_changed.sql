-- +goose NO TRANSACTION
-- +goose Up
-- Which open deals have been in their stage for too long, for the morning's briefing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_deals_org_stage_changed ON deals (organization_id, stage, stage_changed_at) INCLUDE (value) WHERE (NOT closed);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_deals_org_stage_changed;
