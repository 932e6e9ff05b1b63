-- +goose Up
-- What the operator's figures of the last hour look for. The release that has webhooks brings these with them.
CREATE INDEX idx_webhook_deliveries_finished ON webhook_deliveries USING brin (finished_at) WITH (pages_per_range = 32);
CREATE INDEX idx_webhook_attempts_created ON webhook_attempts USING brin (created_at) WITH (pages_per_range = 32);

-- +goose Down
DROP INDEX idx_webhook_attempts_created;
DROP INDEX idx_webhook_deliveries_finished;
