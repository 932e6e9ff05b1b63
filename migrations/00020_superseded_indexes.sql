-- +goose Up
-- The two indexes made before have the same keys, and more.
DROP INDEX idx_deals_org_stage_newest, idx_invoices_org_status_newest;

-- +goose Down
CREATE INDEX idx_deals_org_stage_newest ON deals (organization_id, stage, id);
CREATE INDEX idx_invoices_org_status_newest ON invoices (organization_id, status, id);
