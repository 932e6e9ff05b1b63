-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of what failed, over all organizations, and its number.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_all_failed ON jobs (id) WHERE (error IS NOT NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_all_failed;
