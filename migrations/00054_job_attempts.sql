-- +goose Up

-- Attempts of jobs that ended otherwise than well, or that had something to say. A plain success leaves no row: the job's
-- own says all there is. The operator alone reads them.
CREATE TABLE job_attempts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL, -- the operator's for what belongs to nobody
    job_id          uuid,          -- null: no client asked for it; no foreign key, as jobs are cleaned up
    river_job_id    bigint,        -- null: the job ended before it was worked
    kind            text NOT NULL,
    queue           text NOT NULL,
    run             integer NOT NULL,
    attempt         integer NOT NULL, -- of the run
    worker          text,
    outcome         text NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'retried', 'waiting', 'cancelled', 'returned', 'lost')),
    code            text, -- of the failure, as the job's error has it
    error           text CHECK (octet_length(error) <= 8192), -- or why it waits
    fingerprint     text CHECK (fingerprint ~ '^[0-9a-f]{16}$'), -- what failures of one cause share; null: no failure
    wait_cause      text CHECK (wait_cause ~ '^[0-9a-f]{16}$'), -- what waits for one reason share, however it is worded
    trace_id        text,
    log             jsonb CHECK (jsonb_typeof(log) = 'array'), -- of {at, level, message, attrs}
    started_at      timestamptz,
    ended_at        timestamptz NOT NULL DEFAULT now(),
    CHECK ((fingerprint IS NOT NULL) = (outcome IN ('failed', 'retried', 'lost'))),
    CHECK ((wait_cause IS NOT NULL) = (outcome = 'waiting'))
);
CREATE INDEX idx_job_attempts_job ON job_attempts (organization_id, job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX idx_job_attempts_river ON job_attempts (river_job_id, id);
CREATE INDEX idx_job_attempts_fingerprint ON job_attempts (fingerprint, id) WHERE fingerprint IS NOT NULL;
CREATE INDEX idx_job_attempts_failed ON job_attempts (ended_at, id) WHERE fingerprint IS NOT NULL;
CREATE INDEX idx_job_attempts_ended ON job_attempts USING brin (ended_at) WITH (pages_per_range = 32);
ALTER TABLE job_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_attempts TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON job_attempts TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON job_attempts TO payaid_system;

-- +goose Down
DROP TABLE job_attempts;
