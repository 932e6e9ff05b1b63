-- +goose NO TRANSACTION
-- +goose Up
-- Serves lists by status, as idx_invoices_org_status_newest did, and the dashboard, which adds up what is due of the
-- unpaid and tells by the due date which are overdue: it finds both here without reading the invoices themselves.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_invoices_org_status_due ON invoices (organization_id, status, id) INCLUDE (due_date, amount_due);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_invoices_org_status_due;
