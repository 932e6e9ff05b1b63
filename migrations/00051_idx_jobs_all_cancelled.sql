-- +goose NO TRANSACTION
-- +goose Up
-- The operator's list of what was cancelled: it ended and left neither a result nor an error. Of what succeeded
-- hardly anything is like that. The status is not named, so that what starts or waits is still updated in place.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_all_cancelled ON jobs (id) WHERE ((finished_at IS NOT NULL) AND (output IS NULL) AND (error IS NULL));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_all_cancelled;
