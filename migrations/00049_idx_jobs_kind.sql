-- +goose NO TRANSACTION
-- +goose Up
-- The operator's lists over all organizations: newest first of a kind, and of all kinds by merging them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_jobs_kind ON jobs (kind, id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_jobs_kind;
