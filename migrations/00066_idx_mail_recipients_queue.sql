-- +goose NO TRANSACTION
-- +goose Up
-- The mail that the mail server's log tells of by its own name.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_mail_recipients_queue ON mail_recipients (queue_id) WHERE (queue_id IS NOT NULL);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS idx_mail_recipients_queue;
