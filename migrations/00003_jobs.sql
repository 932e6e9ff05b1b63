-- +goose Up

-- Work as its client sees it. River's own row says how it is carried out; this one says what became of it.
-- No foreign key to organizations: it would make every submit lock the organization's row, and an
-- organization is never deleted.
CREATE TABLE jobs (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    kind            text NOT NULL CHECK (length(kind) < 128),
    queue           text NOT NULL,
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    priority        smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 1 AND 3),
    -- Beyond the organization's fair share of the queue; promoted when there is room.
    overflow        boolean NOT NULL DEFAULT false,
    -- 1, and one more for every retry by hand: a worker that holds an older run has been overtaken.
    run             integer NOT NULL DEFAULT 1,
    -- Counts the starts; whoever finishes must hold the newest one.
    lease           integer NOT NULL DEFAULT 0,
    attempt         integer NOT NULL DEFAULT 0,
    max_attempts    integer NOT NULL CHECK (max_attempts > 0),
    input           jsonb NOT NULL,
    output          jsonb,
    error           jsonb,
    waiting_reason  text,
    next_attempt_at timestamptz,
    progress        jsonb,
    metadata        jsonb NOT NULL DEFAULT '{}',
    callback_url    text,
    run_at          timestamptz NOT NULL DEFAULT now(),
    deadline        timestamptz,
    river_job_id    bigint,
    event_id        uuid NOT NULL,
    request_id      text,
    traceparent     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    version         bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK ((status = 'failed') = (error IS NOT NULL))
) WITH (fillfactor = 80);
-- Ids are UUIDv7, so every index below also keeps the order of creation. No index names the status: a
-- job that starts, waits or reports progress then changes no indexed column, and Postgres updates it in
-- place.
CREATE INDEX idx_jobs_unfinished ON jobs (organization_id, queue, id) WHERE finished_at IS NULL AND NOT overflow;
CREATE INDEX idx_jobs_overflow ON jobs (organization_id, queue, priority, id) WHERE finished_at IS NULL AND overflow;
CREATE INDEX idx_jobs_failed ON jobs (organization_id, id) WHERE error IS NOT NULL;
CREATE INDEX idx_jobs_org_kind ON jobs (organization_id, kind, id);
CREATE INDEX idx_jobs_deadline ON jobs (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL;
-- The operator finds a job by its id alone, as the id tells when it was made.
CREATE INDEX idx_jobs_created ON jobs USING brin (created_at) WITH (pages_per_range = 32);
ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON jobs TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON jobs TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON jobs TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO payaid_system;

-- What a client that follows a job is told, numbered from 1 within the job. Kept for a while after the
-- end; the result itself is in jobs.output.
CREATE TABLE job_events (
    organization_id uuid NOT NULL,
    job_id          uuid NOT NULL,
    seq             bigint NOT NULL,
    type            text NOT NULL CHECK (type IN ('status', 'provider', 'token', 'reset', 'progress')),
    data            json NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, job_id, seq)
);
CREATE INDEX idx_job_events_created ON job_events USING brin (created_at);
ALTER TABLE job_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_events TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON job_events TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON job_events TO payaid_app;
GRANT SELECT, INSERT, DELETE ON job_events TO payaid_system;

-- One row per effect outside Postgres, with the receipt that the other side gave for it.
CREATE TABLE job_effects (
    organization_id uuid NOT NULL,
    job_id          uuid NOT NULL,
    effect_key      text NOT NULL,
    state           text NOT NULL CHECK (state IN ('started', 'done', 'unknown')),
    attempt         integer NOT NULL,
    receipt         jsonb,
    started_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    PRIMARY KEY (organization_id, job_id, effect_key)
);
ALTER TABLE job_effects ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_effects TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON job_effects TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON job_effects TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON job_effects TO payaid_system;

-- Answers kept so that a repeated request gets the same one. The body is sealed with a key that only the
-- holder of the API key and the idempotency key can derive, as it may show a new key.
CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL,
    scope           text NOT NULL,
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     bytea NOT NULL,
    status          integer,
    headers         jsonb,
    body            bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, scope, key)
);
CREATE INDEX idx_idempotency_keys_created ON idempotency_keys USING brin (created_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON idempotency_keys TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO payaid_app, payaid_system;

-- +goose Down
DROP TABLE idempotency_keys;
DROP TABLE job_effects;
DROP TABLE job_events;
DROP TABLE jobs;
