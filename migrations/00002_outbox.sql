-- +goose Up

-- Facts, written in the transaction that makes them true and read by the relay in the order (xid, id)
-- below the oldest transaction still open. No status column and no deletes: old days are dropped whole.
CREATE SEQUENCE outbox_id_seq CACHE 32;
CREATE TABLE outbox (
    xid               xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id                bigint NOT NULL DEFAULT nextval('outbox_id_seq'),
    event_id          uuid NOT NULL,
    organization_id   uuid NOT NULL,
    type              text NOT NULL,
    subject           text NOT NULL,
    aggregate_version bigint NOT NULL,
    causation_id      text,
    correlation_id    text,
    traceparent       text,
    data              json NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, id, created_at)
) PARTITION BY RANGE (created_at);
ALTER SEQUENCE outbox_id_seq OWNED BY outbox.id;
-- Takes what no day was made for, so that a fact is never refused.
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON outbox TO payaid_system USING (true) WITH CHECK (true);
GRANT INSERT ON outbox TO payaid_app;
GRANT SELECT, INSERT ON outbox TO payaid_system;
-- Beginning a new epoch puts what was not published behind its beginning.
GRANT UPDATE (xid, id) ON outbox TO payaid_system;
GRANT USAGE ON SEQUENCE outbox_id_seq TO payaid_app, payaid_system;

-- xids start again in a restored or a new cluster. An epoch names one life of the outbox; positions are
-- only comparable within it.
CREATE TABLE outbox_epochs (
    epoch       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    started_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    reason      text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO outbox_epochs (reason) VALUES ('first migration');
GRANT SELECT ON outbox_epochs TO payaid_app;
GRANT SELECT, INSERT ON outbox_epochs TO payaid_system;

-- How far a consumer has come, updated in the transaction that carries out what the events ask for.
-- The outbox coordinates are the truth; stream_seq only says where in the stream to start reading.
CREATE TABLE consumer_positions (
    consumer   text PRIMARY KEY,
    epoch      uuid NOT NULL,
    xid        xid8 NOT NULL,
    id         bigint NOT NULL,
    stream_seq bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_positions TO payaid_system;

-- Messages that a consumer could not read. They don't stop the others.
CREATE TABLE dead_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    text NOT NULL,
    stream_seq  bigint NOT NULL,
    subject     text NOT NULL,
    headers     jsonb NOT NULL,
    body        bytea NOT NULL,
    reason      text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    redriven_at timestamptz
);
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_events TO payaid_system;

-- Makes the partitions from today until that many days ahead (UTC), moving what the default partition
-- took for them meanwhile. Returns how many it made.
-- +goose StatementBegin
CREATE FUNCTION outbox_make_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    made  integer := 0;
    name  text;
    lower timestamptz;
    upper timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('payaid.outbox_partitions'));
    -- Attaching waits for whoever uses the default partition, and everybody else behind it.
    PERFORM set_config('lock_timeout', '3s', true);
    -- The days to come first: they are not in use yet.
    FOR day IN REVERSE ahead..0 LOOP
        name := 'outbox_' || to_char(today + day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        lower := (today + day)::timestamp AT TIME ZONE 'UTC';
        upper := (today + day + 1)::timestamp AT TIME ZONE 'UTC';
        -- Before looking for its rows: what is inserted between that and the attaching would forbid it.
        LOCK TABLE public.outbox_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('WITH moved AS (DELETE FROM public.outbox_default WHERE created_at >= %L AND created_at < %L RETURNING *)
                        INSERT INTO public.%I SELECT * FROM moved', lower, upper, name);
        EXECUTE format('ALTER TABLE public.outbox ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- Drops the days that ended before keep_after and whose every event lies at or below the given position.
-- Returns how many it dropped; a day with an event above the position stays, however old.
-- +goose StatementBegin
CREATE FUNCTION outbox_drop_partitions(keep_after timestamptz, position_xid xid8, position_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    dropped integer := 0;
    part    record;
    newer   boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('payaid.outbox_partitions'));
    PERFORM set_config('lock_timeout', '3s', true);
    FOR part IN
        SELECT c.relname AS name, to_date(substring(c.relname FROM 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
        ORDER BY 1
    LOOP
        CONTINUE WHEN (part.day + 1)::timestamp AT TIME ZONE 'UTC' > keep_after;
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE (xid, id) > ($1, $2))', part.name)
            INTO newer USING position_xid, position_id;
        CONTINUE WHEN newer;
        EXECUTE format('DROP TABLE public.%I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outbox_make_partitions(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION outbox_drop_partitions(timestamptz, xid8, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox_make_partitions(integer), outbox_drop_partitions(timestamptz, xid8, bigint) TO payaid_system;

SELECT outbox_make_partitions(7);

-- +goose Down
DROP FUNCTION outbox_drop_partitions(timestamptz, xid8, bigint);
DROP FUNCTION outbox_make_partitions(integer);
DROP TABLE dead_events;
DROP TABLE consumer_positions;
DROP TABLE outbox_epochs;
DROP TABLE outbox;
