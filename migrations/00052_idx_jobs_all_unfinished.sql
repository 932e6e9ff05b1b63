-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of what has not ended, over all organizations: others go by organization first, and there may
-- be thousands of those.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_all_unfinished ON jobs (id) WHERE (finished_at IS NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_all_unfinished;
