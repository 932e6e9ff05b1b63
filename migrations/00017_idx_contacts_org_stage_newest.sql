-- +goose NO TRANSACTION
-- +goose Up
-- A list of a rare stage would go through all of an organization's contacts, newest first, to find its few.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_contacts_org_stage_newest ON contacts (organization_id, stage, id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_contacts_org_stage_newest;
