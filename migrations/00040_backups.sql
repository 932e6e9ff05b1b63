-- +goose Up

-- What is known of backups, also of those that failed. The manifests beside the dumps are the truth; a row follows
-- them, so that whoever has no access to the folder can look.
CREATE TABLE backups (
    id              uuid PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    state           text NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'deleted')),
    host            text NOT NULL,
    job_id          uuid, -- null: made by a command
    worker_id       text, -- that makes it, while it runs
    places          text[] NOT NULL DEFAULT '{}' CHECK (places <@ '{folder,remote}'),
    manifest        jsonb, -- null until it is complete
    error           jsonb CHECK (error IS NULL OR error ? 'code'),
    started_at      timestamptz NOT NULL,
    snapshot_at     timestamptz,
    finished_at     timestamptz,
    bytes           bigint,
    -- What came of the last try to restore it.
    verification    jsonb,
    verified_at     timestamptz, -- when all was found in it; null: never
    restore_seconds numeric,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backups_completed CHECK (state <> 'completed' OR manifest IS NOT NULL AND snapshot_at IS NOT NULL AND bytes IS NOT NULL),
    CONSTRAINT backups_failed CHECK (state <> 'failed' OR error IS NOT NULL)
);
CREATE INDEX idx_backups_started ON backups (started_at DESC, id DESC);
CREATE INDEX idx_backups_verified ON backups (verified_at DESC) WHERE verified_at IS NOT NULL AND state = 'completed';
GRANT SELECT, INSERT, UPDATE, DELETE ON backups TO payaid_system;

-- +goose Down
DROP TABLE backups;
