-- +goose Up

-- A call that was answered from the cache, or that looked there first, and the exchange rate of its day, so
-- that what was saved in rupees stays what it was. Calls from before have no rate and count no rupees.
ALTER TABLE ai_calls ADD COLUMN cacheable boolean NOT NULL DEFAULT false;
ALTER TABLE ai_calls ADD COLUMN usd_inr numeric(10, 4) CHECK (usd_inr > 0);

-- Calls under way. When one ends its row goes, and ai_calls has it; of a process that was killed it stays
-- until the job's next attempt, or the cleaning, writes it down as lost.
CREATE TABLE ai_calls_begun (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL, -- that the call will have in ai_calls
    job_id          uuid NOT NULL,
    attempt         integer NOT NULL,
    kind            text NOT NULL,
    provider        text NOT NULL,
    model           text NOT NULL,
    fallback_reason text,
    started_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX idx_ai_calls_begun_org_job ON ai_calls_begun (organization_id, job_id);
CREATE INDEX idx_ai_calls_begun_started ON ai_calls_begun (started_at);
ALTER TABLE ai_calls_begun ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_calls_begun TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_calls_begun TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_calls_begun TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_calls_begun TO payaid_system;

-- The calls of an hour, by the organization's own clock, added up: calls themselves are cleaned up with their
-- jobs. Complete for the hours that began before ai_usage_until.until, as each organization counts them.
CREATE TABLE ai_usage_hours (
    organization_id   uuid NOT NULL,
    hour              timestamptz NOT NULL,
    kind              text NOT NULL,
    provider          text NOT NULL,
    model             text NOT NULL,
    calls             bigint NOT NULL, -- that were made; not those that a breaker, a gate or a budget kept back
    answers           bigint NOT NULL,
    failures          bigint NOT NULL,
    cacheable         bigint NOT NULL, -- answers that were looked for in the cache
    cached            bigint NOT NULL, -- and found
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    latency_ms        bigint NOT NULL, -- of all answers together, the wait at the gate included
    cost_nano_usd     bigint NOT NULL,
    shadow_nano_usd   bigint NOT NULL,
    cost_nano_inr     bigint NOT NULL,
    shadow_nano_inr   bigint NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, hour, kind, provider, model)
);
CREATE INDEX idx_ai_usage_hours_hour ON ai_usage_hours (hour);
ALTER TABLE ai_usage_hours ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_usage_hours TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_usage_hours TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_usage_hours TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_usage_hours TO payaid_system;

CREATE TABLE ai_usage_until (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);
INSERT INTO ai_usage_until (until) VALUES ('2000-01-01 00:00:00+00');
GRANT SELECT ON ai_usage_until TO payaid_app;
GRANT SELECT, UPDATE ON ai_usage_until TO payaid_system;

-- What a worker last said of the models that it asks: state of the breaker, last failure, limits.
ALTER TABLE worker_processes ADD COLUMN providers jsonb;

-- +goose Down
ALTER TABLE worker_processes DROP COLUMN providers;
DROP TABLE ai_usage_until;
DROP TABLE ai_usage_hours;
DROP TABLE ai_calls_begun;
ALTER TABLE ai_calls DROP COLUMN usd_inr;
ALTER TABLE ai_calls DROP COLUMN cacheable;
