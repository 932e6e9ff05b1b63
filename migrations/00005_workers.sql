-- +goose Up

-- Worker processes that are alive, by their heartbeat. Whoever finds one silent gives its jobs back.
CREATE TABLE worker_processes (
    id           text PRIMARY KEY,
    host         text NOT NULL,
    pid          integer NOT NULL,
    queues       jsonb NOT NULL,
    version      text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON worker_processes TO payaid_system;

-- Wall-clock schedules with a memory, so that a tick missed while nothing ran is caught up once.
CREATE TABLE schedules (
    name        text PRIMARY KEY,
    kind        text NOT NULL,
    cron        text NOT NULL,
    last_run_at timestamptz,
    next_run_at timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON schedules TO payaid_system;

GRANT SELECT, INSERT, UPDATE, DELETE ON river_job, river_leader, river_queue, river_notification TO payaid_system;
GRANT SELECT ON river_migration TO payaid_system;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO payaid_system;

-- +goose Down
DROP TABLE schedules;
DROP TABLE worker_processes;
REVOKE ALL ON river_job, river_leader, river_queue, river_notification, river_migration FROM payaid_system;
