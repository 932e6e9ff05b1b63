-- +goose Up

-- What a process can work; null: it is of a version that doesn't say.
ALTER TABLE worker_processes ADD COLUMN kinds text[];

-- A paused schedule starts nothing by the clock. Who asks for a run by hand gets it all the same, once: it counts while
-- the schedule has not run since. last_job_id is River's number of what it started last.
ALTER TABLE schedules ADD COLUMN paused_at timestamptz, ADD COLUMN asked_at timestamptz, ADD COLUMN last_job_id bigint;

-- +goose Down
ALTER TABLE schedules DROP COLUMN paused_at, DROP COLUMN asked_at, DROP COLUMN last_job_id;
ALTER TABLE worker_processes DROP COLUMN kinds;
