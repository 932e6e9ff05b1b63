-- +goose NO TRANSACTION
-- +goose Up
-- The same of the product's own jobs, which only River numbers.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_attempts_cause_internal ON job_attempts (fingerprint, river_job_id) WHERE ((fingerprint IS NOT NULL) AND (job_id IS NULL));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_job_attempts_cause_internal;
