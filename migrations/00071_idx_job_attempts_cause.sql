-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of the jobs that failed of one cause, which may be very many: newest first, without reading all.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_attempts_cause ON job_attempts (fingerprint, job_id, organization_id) WHERE ((fingerprint IS NOT NULL) AND (job_id IS NOT NULL));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_job_attempts_cause;
