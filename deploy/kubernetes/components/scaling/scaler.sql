-- What KEDA may read to see how much work there is: which jobs of which queue are due since when, and which queues are
-- paused. Run it once, by the owner of the tables or a superuser, after the schema is there; again does no harm:
-- README.md has the command.
-- The role comes from whoever makes logins (CloudNativePG does, by ../postgres/cluster.yaml).
GRANT CONNECT ON DATABASE payaid TO payaid_scaler;
GRANT USAGE ON SCHEMA public TO payaid_scaler;
GRANT SELECT (queue, state, priority, scheduled_at) ON river_job TO payaid_scaler;
GRANT SELECT (name, paused_at) ON river_queue TO payaid_scaler;
