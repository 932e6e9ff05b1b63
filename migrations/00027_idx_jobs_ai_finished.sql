-- +goose NO TRANSACTION
-- +goose Up
-- How the AI jobs of the last hour ended, over all organizations.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_ai_finished ON jobs (finished_at) WHERE ((kind ~~ 'ai.%'::text) AND (finished_at IS NOT NULL));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_ai_finished;
