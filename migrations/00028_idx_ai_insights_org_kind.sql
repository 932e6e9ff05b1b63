-- +goose NO TRANSACTION
-- +goose Up
-- A list of a rare kind, such as the briefing of the day, would go through all that was found out, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_ai_insights_org_kind ON ai_insights (organization_id, kind, id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_ai_insights_org_kind;
