-- +goose NO TRANSACTION
-- +goose Up
-- Mails to an address or to a domain, over all organizations: read backwards, those of a domain lie together.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_mail_recipients_backwards ON mail_recipients (reverse(lower(address)) COLLATE "C", message_id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_mail_recipients_backwards;
