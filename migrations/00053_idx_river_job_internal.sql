-- +goose NO TRANSACTION
-- +goose Up
-- What facts and the clock started and what has not simply succeeded, for the operator's list: the others are a
-- million a day, and of no interest.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_river_job_internal ON river_job (id) WHERE ((NOT (args ? 'job_id'::text)) AND (state <> 'completed'::river_job_state));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_river_job_internal;
