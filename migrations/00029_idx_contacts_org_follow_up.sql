-- +goose NO TRANSACTION
-- +goose Up
-- Whom somebody meant to speak with by now, for the morning's briefing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_contacts_org_follow_up ON contacts (organization_id, next_follow_up) WHERE (next_follow_up IS NOT NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_contacts_org_follow_up;
