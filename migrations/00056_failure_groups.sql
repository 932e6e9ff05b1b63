-- +goose Up

-- Groups of failures that have one cause, as they were counted when there were too many to count whenever somebody looks.
CREATE TABLE failure_groups (
    span          interval NOT NULL, -- back from as_of
    fingerprint   text NOT NULL,
    kind          text NOT NULL,
    queue         text NOT NULL,
    code          text,
    error         text,    -- of the newest failure
    failed        bigint NOT NULL, -- jobs, by what became of them
    retrying      bigint NOT NULL,
    over          bigint NOT NULL,
    attempts      bigint NOT NULL,
    organizations bigint NOT NULL,
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    buckets       jsonb NOT NULL, -- number of the part of the span: failures in it
    as_of         timestamptz NOT NULL,
    PRIMARY KEY (span, fingerprint)
);
GRANT SELECT, INSERT, DELETE ON failure_groups TO payaid_system;

-- +goose Down
DROP TABLE failure_groups;
