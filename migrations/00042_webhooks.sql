-- +goose Up

-- Where an organization wants to hear of its facts.
CREATE TABLE webhook_endpoints (
    organization_id       uuid NOT NULL,
    id                    uuid NOT NULL,
    url                   text NOT NULL CHECK (octet_length(url) BETWEEN 8 AND 2048),
    events                text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 100), -- types, noun.* or *
    description           text CHECK (length(description) <= 500),
    headers               jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'), -- sent with every delivery
    rate_limit            integer CHECK (rate_limit BETWEEN 1 AND 60000), -- deliveries a minute; null: as many as come
    status                text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
    -- Why it is disabled: its owner wished so, it answered 410, or it failed for too long.
    disabled_code         text CHECK (disabled_code IN ('owner', 'gone', 'failing')),
    disabled_reason       text,
    disabled_at           timestamptz,
    -- Requests can't read the secrets that they write.
    secret                text NOT NULL CHECK (secret ~ '^whsec_[A-Za-z0-9+/]{32,}={0,2}$'),
    previous_secret       text,
    previous_secret_until timestamptz,
    deleted_at            timestamptz, -- the rows of its deliveries are cleaned up later
    version               bigint NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK ((status = 'disabled') = (disabled_code IS NOT NULL)),
    CHECK ((status = 'disabled') = (disabled_at IS NOT NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);
ALTER TABLE webhook_endpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_endpoints TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON webhook_endpoints TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT (organization_id, id, url, events, description, headers, rate_limit, status, disabled_code, disabled_reason,
              disabled_at, previous_secret_until, deleted_at, version, created_at, updated_at),
      INSERT, UPDATE ON webhook_endpoints TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO payaid_system;

-- What signs the callbacks of an organization's jobs, made when it is first needed.
CREATE TABLE webhook_callback_secrets (
    organization_id       uuid PRIMARY KEY,
    secret                text NOT NULL CHECK (secret ~ '^whsec_[A-Za-z0-9+/]{32,}={0,2}$'),
    previous_secret       text,
    previous_secret_until timestamptz,
    version               bigint NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);
ALTER TABLE webhook_callback_secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_callback_secrets TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON webhook_callback_secrets TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON webhook_callback_secrets TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_callback_secrets TO payaid_system;

-- A new secret leaves the one before valid for as long as previous_secret_until says; null: it ends at once. A trigger
-- does it, as requests can't read secrets.
-- +goose StatementBegin
CREATE FUNCTION webhook_secret_rotated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.previous_secret := CASE WHEN NEW.previous_secret_until IS NOT NULL THEN OLD.secret END;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER rotated BEFORE UPDATE OF secret ON webhook_endpoints FOR EACH ROW EXECUTE FUNCTION webhook_secret_rotated();
CREATE TRIGGER rotated BEFORE UPDATE OF secret ON webhook_callback_secrets FOR EACH ROW EXECUTE FUNCTION webhook_secret_rotated();

-- A lane is all that goes to one receiver: to an endpoint, or the callbacks of an organization to one origin. It lets few
-- deliveries at a time be jobs of River's; the others wait as rows, so that a receiver that is slow or dead costs
-- nobody else anything.
CREATE TABLE webhook_lanes (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL, -- that of the endpoint, or made of the organization and the origin
    origin          text,          -- of callbacks, such as https://example.com; null: an endpoint's lane
    failures        integer NOT NULL DEFAULT 0, -- in a row
    failing_since   timestamptz,
    successes       integer NOT NULL DEFAULT 0, -- in a row, counted as far as they widen the lane
    paused_until    timestamptz, -- nothing goes before; then one goes ahead of the others where it had failed
    last_success_at timestamptz,
    last_failure_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK ((failures = 0) = (failing_since IS NULL))
) WITH (fillfactor = 50);
ALTER TABLE webhook_lanes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_lanes TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON webhook_lanes TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON webhook_lanes TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_lanes TO payaid_system;

-- Facts that somebody listens to, as they are sent; kept for as long as their deliveries are.
CREATE TABLE webhook_events (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL, -- of the event, or of a test: what receivers know repeats by
    type            text NOT NULL,
    body            text NOT NULL CHECK (octet_length(body) <= 1048576), -- a CloudEvents 1.0 event, structured JSON
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX idx_webhook_events_created ON webhook_events USING brin (created_at) WITH (pages_per_range = 32);
ALTER TABLE webhook_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_events TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON webhook_events TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON webhook_events TO payaid_app;
GRANT SELECT, INSERT, DELETE ON webhook_events TO payaid_system;

-- One event for one receiver, and what became of it.
CREATE TABLE webhook_deliveries (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    lane_id         uuid NOT NULL,
    endpoint_id     uuid,          -- null: a callback
    job_id          uuid,          -- whose callback it is; no foreign key, as jobs are cleaned up
    url             text,          -- of a callback; an endpoint's is its own
    event_id        uuid NOT NULL, -- in webhook_events
    event_type      text NOT NULL,
    purpose         text NOT NULL CHECK (purpose IN ('event', 'callback', 'test')),
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
    run             integer NOT NULL DEFAULT 1,  -- one more for every replay
    begun_at        timestamptz NOT NULL DEFAULT now(), -- the run: three days after it the delivery is given up
    attempts        integer NOT NULL DEFAULT 0,  -- of the run
    admitted        boolean NOT NULL DEFAULT false, -- a job of River's works at it; the others wait for their turn
    next_attempt_at timestamptz DEFAULT now(),
    status_code     integer, -- of the last answer
    error_code      text,    -- of the last attempt, or why it was given up
    error           text,
    finished_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    CHECK ((purpose = 'callback') = (endpoint_id IS NULL)),
    CHECK ((purpose = 'callback') = (job_id IS NOT NULL AND url IS NOT NULL)),
    CHECK ((status = 'pending') = (finished_at IS NULL)),
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) WITH (fillfactor = 70);
-- Each event once for each receiver, however often it is told.
CREATE UNIQUE INDEX idx_webhook_deliveries_once ON webhook_deliveries (organization_id, event_id, lane_id);
CREATE INDEX idx_webhook_deliveries_endpoint ON webhook_deliveries (organization_id, endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX idx_webhook_deliveries_endpoint_failed ON webhook_deliveries (organization_id, endpoint_id, id)
    WHERE endpoint_id IS NOT NULL AND status = 'failed';
CREATE INDEX idx_webhook_deliveries_callback ON webhook_deliveries (organization_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX idx_webhook_deliveries_job ON webhook_deliveries (organization_id, job_id, id) WHERE job_id IS NOT NULL;
-- The queue before the queue: who waits for a turn, in order, and who has one.
CREATE INDEX idx_webhook_deliveries_waiting ON webhook_deliveries (organization_id, lane_id, id)
    WHERE status = 'pending' AND NOT admitted;
CREATE INDEX idx_webhook_deliveries_admitted ON webhook_deliveries (organization_id, lane_id, next_attempt_at)
    WHERE status = 'pending' AND admitted;
CREATE INDEX idx_webhook_deliveries_created ON webhook_deliveries USING brin (created_at) WITH (pages_per_range = 32);
ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_deliveries TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON webhook_deliveries TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON webhook_deliveries TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO payaid_system;

-- Each try of a delivery: what was sent, and what came back.
CREATE TABLE webhook_attempts (
    organization_id  uuid NOT NULL,
    delivery_id      uuid NOT NULL,
    run              integer NOT NULL,
    attempt          integer NOT NULL,
    started_at       timestamptz NOT NULL,
    latency_ms       integer NOT NULL CHECK (latency_ms >= 0),
    address          text,    -- that was connected to; null: none was
    status_code      integer, -- null: there was no answer
    error_code       text,    -- null: it succeeded
    error            text,
    request_headers  jsonb NOT NULL, -- without the secrets among them
    response_headers jsonb,
    response_body    bytea CHECK (octet_length(response_body) <= 4096), -- its beginning
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, delivery_id, run, attempt),
    FOREIGN KEY (organization_id, delivery_id) REFERENCES webhook_deliveries ON DELETE CASCADE
);
ALTER TABLE webhook_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_attempts TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON webhook_attempts TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON webhook_attempts TO payaid_app;
GRANT SELECT, INSERT, DELETE ON webhook_attempts TO payaid_system;

-- +goose Down
DROP TABLE webhook_attempts;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_events;
DROP TABLE webhook_lanes;
DROP TABLE webhook_callback_secrets;
DROP TABLE webhook_endpoints;
DROP FUNCTION webhook_secret_rotated();
