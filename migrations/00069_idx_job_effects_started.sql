-- +goose NO TRANSACTION
-- +goose Up
-- What deleted jobs did is cleaned up by its age.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_effects_started ON job_effects USING brin (started_at) WITH (pages_per_range='32');

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_job_effects_started;
