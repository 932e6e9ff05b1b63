-- +goose NO TRANSACTION
-- +goose Up
-- The operators' guide promises this index by name; longer ones serve the same queries.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_invoices_org_status ON invoices (organization_id, status);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_invoices_org_status;
