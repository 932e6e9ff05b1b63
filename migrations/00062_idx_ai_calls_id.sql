-- +goose NO TRANSACTION
-- +goose Up
-- Calls of models over all organizations, those that began last first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_ai_calls_id ON ai_calls (id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_ai_calls_id;
