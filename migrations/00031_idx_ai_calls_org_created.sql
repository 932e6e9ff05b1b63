-- +goose NO TRANSACTION
-- +goose Up
-- What an organization's calls came to since they were last added up.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_ai_calls_org_created ON ai_calls (organization_id, created_at);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_ai_calls_org_created;
