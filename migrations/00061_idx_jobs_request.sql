-- +goose NO TRANSACTION
-- +goose Up
-- A request's jobs, by the id that its client was told, for as long as jobs are kept.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_request ON jobs (request_id, id) WHERE (request_id IS NOT NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_request;
