-- +goose NO TRANSACTION
-- +goose Up
-- How many jobs ended how, counted in the index alone. Rows enter it when they end, which changes every index anyway.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_finished_kind ON jobs (status, kind, queue) WHERE (finished_at IS NOT NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_finished_kind;
