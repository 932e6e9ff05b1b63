-- +goose Up

-- Every attempt at a provider, whatever came of it. Never a prompt or an answer.
CREATE TABLE ai_calls (
    organization_id   uuid NOT NULL,
    id                uuid NOT NULL,
    job_id            uuid NOT NULL,
    attempt           integer NOT NULL,
    kind              text NOT NULL,
    provider          text NOT NULL,
    model             text NOT NULL,
    outcome           text NOT NULL,
    status            integer,
    detail            text,
    fallback_reason   text,
    cached            boolean NOT NULL DEFAULT false,
    queue_ms          integer NOT NULL DEFAULT 0,
    first_token_ms    integer,
    run_ms            integer NOT NULL DEFAULT 0,
    prompt_tokens     integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    -- Billionths of a dollar: what it cost, and what it would have cost at the fallback provider.
    cost_nano_usd     bigint NOT NULL DEFAULT 0,
    shadow_nano_usd   bigint NOT NULL DEFAULT 0,
    started_at        timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX idx_ai_calls_org_job ON ai_calls (organization_id, job_id);
CREATE INDEX idx_ai_calls_created ON ai_calls USING brin (created_at);
ALTER TABLE ai_calls ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_calls TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_calls TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_calls TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_calls TO payaid_system;

-- +goose Down
DROP TABLE ai_calls;
