-- +goose Up

-- How queues and kinds of jobs did, for charts: nothing in them is needed to work. Where a figure is null, nobody
-- measured it; that is a gap, and not a zero. Figures of jobs that ended have the shape in which processes count them.

-- Who last measured what, and when it is measured again. One process at a time does: it moves next_at first.
CREATE TABLE samplers (
    name     text PRIMARY KEY,
    by       text NOT NULL DEFAULT '',
    began_at timestamptz NOT NULL DEFAULT now(),
    took_ms  bigint,
    next_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON samplers TO payaid_system;

-- What each queue was like when it was last looked at.
CREATE TABLE queue_states (
    queue      text PRIMARY KEY,
    available  bigint NOT NULL,
    running    bigint NOT NULL,
    retryable  bigint NOT NULL,
    scheduled  bigint NOT NULL,
    oldest_ms  bigint, -- null: none is due and waits
    workers    integer NOT NULL,
    places     integer NOT NULL,
    sampled_at timestamptz NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_states TO payaid_system;

-- Of all looks in a minute the deepest and the oldest, and of the last one the rest.
CREATE TABLE queue_minutes (
    at        timestamptz NOT NULL,
    queue     text NOT NULL,
    samples   integer NOT NULL DEFAULT 0,
    available bigint,
    running   bigint,
    later     bigint, -- retryable and scheduled
    oldest_ms bigint,
    workers   integer,
    places    integer,
    outcomes  jsonb, -- {"succeeded":3}; null: nobody could say what ended
    waits     jsonb,
    runs      jsonb,
    PRIMARY KEY (at, queue)
) WITH (fillfactor = 70);
CREATE TABLE queue_hours (LIKE queue_minutes INCLUDING ALL);
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_minutes, queue_hours TO payaid_system;

-- Only minutes in which jobs of the kind ended.
CREATE TABLE kind_minutes (
    at       timestamptz NOT NULL,
    kind     text NOT NULL,
    queue    text NOT NULL,
    outcomes jsonb NOT NULL,
    runs     jsonb NOT NULL,
    PRIMARY KEY (at, kind)
);
CREATE TABLE kind_hours (LIKE kind_minutes INCLUDING ALL);
GRANT SELECT, INSERT, UPDATE, DELETE ON kind_minutes, kind_hours TO payaid_system;

-- How many jobs there are that ended, counted now and then: a count of millions is not for a page to wait for.
CREATE TABLE job_counts (
    status     text NOT NULL,
    kind       text NOT NULL,
    queue      text NOT NULL,
    n          bigint NOT NULL,
    exact      boolean NOT NULL,
    sampled_at timestamptz NOT NULL,
    PRIMARY KEY (status, kind, queue)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON job_counts TO payaid_system;

-- +goose Down
DROP TABLE job_counts;
DROP TABLE kind_hours, kind_minutes;
DROP TABLE queue_hours, queue_minutes;
DROP TABLE queue_states;
DROP TABLE samplers;
