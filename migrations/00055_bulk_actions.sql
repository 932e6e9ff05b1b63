-- +goose Up

-- What an operator asked to be done with many jobs at once, and how far it has come.
CREATE TABLE bulk_actions (
    id                uuid PRIMARY KEY, -- UUIDv7: the order
    action            text NOT NULL CHECK (action IN ('retry', 'cancel', 'delete')),
    filter            jsonb NOT NULL CHECK (jsonb_typeof(filter) = 'object'), -- that chose the jobs, as it was asked
    status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'stopped')),
    matched           integer NOT NULL,           -- jobs that matched when it was asked
    capped            boolean NOT NULL,          -- there were more
    position          integer NOT NULL DEFAULT 0, -- jobs that were seen to, in any way
    done              integer NOT NULL DEFAULT 0,
    skipped           integer NOT NULL DEFAULT 0,
    failed            integer NOT NULL DEFAULT 0,
    reasons           jsonb NOT NULL DEFAULT '{}', -- why jobs were skipped or failed: how many
    asked_by          jsonb NOT NULL,              -- as the audit log has it
    stop_requested_at timestamptz,
    started_at        timestamptz,
    finished_at       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CHECK (position = done + skipped + failed AND position <= matched),
    CHECK ((status IN ('done', 'stopped')) = (finished_at IS NOT NULL))
);
GRANT SELECT, INSERT, UPDATE, DELETE ON bulk_actions TO payaid_system;

-- The jobs that matched in the moment in which it was asked, and as they stood then: nothing else is touched.
CREATE TABLE bulk_items (
    bulk_id         uuid NOT NULL REFERENCES bulk_actions ON DELETE CASCADE,
    n               integer NOT NULL,
    of_organization uuid,   -- null: nobody's
    job_id          uuid,   -- null: no client asked for the job
    river_job_id    bigint, -- of one that no client asked for
    run             integer NOT NULL,
    status          text NOT NULL,
    outcome         text CHECK (outcome IN ('done', 'skipped', 'failed')),
    reason          text,
    detail          text CHECK (octet_length(detail) <= 1000),
    PRIMARY KEY (bulk_id, n),
    CHECK ((job_id IS NULL) <> (river_job_id IS NULL))
);
CREATE INDEX idx_bulk_items_failed ON bulk_items (bulk_id, n) WHERE outcome = 'failed';
GRANT SELECT, INSERT, UPDATE, DELETE ON bulk_items TO payaid_system;

-- +goose Down
DROP TABLE bulk_items;
DROP TABLE bulk_actions;
