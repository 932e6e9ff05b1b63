-- +goose Up

-- Of a fact that a request stated: which request it was, whose key it had, and when it came.
ALTER TABLE outbox ADD COLUMN route text, ADD COLUMN key_id text, ADD COLUMN asked_at timestamptz;

-- By these a day of the outbox is looked through from any id. Only what a request stated itself is found by its trace:
-- what came of it has the request's id too. And by their cause are found only those that no request is at the head of.
-- Ids of events, and most of the others, tell the time, so that inserts write at an index's end.
-- +goose StatementBegin
CREATE FUNCTION outbox_index_partition(part text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public
AS $$
BEGIN
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (event_id)', part || '_event', part);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (subject, event_id)', part || '_subject', part);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (correlation_id, event_id) WHERE correlation_id IS NOT NULL', part || '_request', part);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (causation_id) WHERE causation_id IS NOT NULL AND correlation_id IS NULL', part || '_cause', part);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (substr(traceparent, 4, 32)) WHERE traceparent IS NOT NULL AND causation_id IS NULL', part || '_trace', part);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outbox_index_partition(text) FROM PUBLIC;

-- Days that are there already get them where that takes but a moment. One with many events goes without: it is searched
-- from end to end until it is dropped.
-- +goose StatementBegin
DO $$
DECLARE
    part name;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.outbox'::regclass AND pg_relation_size(c.oid) < 32 * 1024 * 1024
        ORDER BY 1
    LOOP
        PERFORM outbox_index_partition(part);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- As it was, and each new day gets its indexes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox_make_partitions(ahead integer) RETURNS integer
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
    PERFORM set_config('lock_timeout', '3s', true);
    FOR day IN REVERSE ahead..0 LOOP
        name := 'outbox_' || to_char(today + day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        lower := (today + day)::timestamp AT TIME ZONE 'UTC';
        upper := (today + day + 1)::timestamp AT TIME ZONE 'UTC';
        LOCK TABLE public.outbox_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('WITH moved AS (DELETE FROM public.outbox_default WHERE created_at >= %L AND created_at < %L RETURNING *)
                        INSERT INTO public.%I SELECT * FROM moved', lower, upper, name);
        PERFORM public.outbox_index_partition(name);
        EXECUTE format('ALTER TABLE public.outbox ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox_make_partitions(ahead integer) RETURNS integer
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
DROP FUNCTION outbox_index_partition(text);
-- +goose StatementBegin
DO $$
DECLARE
    found regclass;
BEGIN
    FOR found IN
        SELECT x.indexrelid::regclass FROM pg_inherits i JOIN pg_index x ON x.indrelid = i.inhrelid
        WHERE i.inhparent = 'public.outbox'::regclass AND NOT x.indisprimary
    LOOP
        EXECUTE format('DROP INDEX %s', found);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER TABLE outbox DROP COLUMN route, DROP COLUMN key_id, DROP COLUMN asked_at;
