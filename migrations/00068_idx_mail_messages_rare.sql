-- +goose NO TRANSACTION
-- +goose Up
-- The operator's lists of mails that did not go out: among many others they are rare.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_mail_messages_rare ON mail_messages (state, id) WHERE (state = ANY (ARRAY['failed'::text, 'suppressed'::text, 'cancelled'::text]));

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_mail_messages_rare;
