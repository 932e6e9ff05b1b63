-- +goose Up

-- A look at the server's counters. They go on from one sample to the next as long as database, server and
-- stats_reset stay the same; a server that crashed begins anew, and one that was restarted properly goes on.
CREATE TABLE index_sample_runs (
    id                uuid PRIMARY KEY,
    taken_at          timestamptz NOT NULL UNIQUE,
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    stats_reset_at    timestamptz, -- null: never, or by a crash
    server_started_at timestamptz NOT NULL,
    server_version    integer NOT NULL, -- server_version_num
    indexes           integer NOT NULL,
    index_scans       bigint NOT NULL, -- of all indexes: less than before means that counters began anew
    blocks_hit        bigint NOT NULL, -- of the database
    blocks_read       bigint NOT NULL,
    took_us           bigint NOT NULL,
    findings          jsonb NOT NULL DEFAULT '{}', -- how many, by kind
    created_at        timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON index_sample_runs TO payaid_system;

-- The counters as the server has them: differences are taken when they are read, where a counter that fell can be
-- told. An index is known by its oid, and by its definition when a rebuild gave it another one.
CREATE TABLE index_samples (
    taken_at       timestamptz NOT NULL,
    index_oid      oid NOT NULL,
    definition     bigint NOT NULL,
    table_oid      oid NOT NULL,
    scans          bigint NOT NULL,
    tuples_read    bigint NOT NULL,
    tuples_fetched bigint NOT NULL,
    blocks_hit     bigint NOT NULL,
    blocks_read    bigint NOT NULL,
    size_bytes     bigint NOT NULL,
    last_scan_at   timestamptz, -- Postgres 16 and later
    PRIMARY KEY (taken_at, index_oid)
) PARTITION BY RANGE (taken_at);
GRANT SELECT, INSERT ON index_samples TO payaid_system;

CREATE TABLE table_samples (
    taken_at        timestamptz NOT NULL,
    table_oid       oid NOT NULL,
    seq_scans       bigint NOT NULL,
    seq_tuples_read bigint NOT NULL,
    index_scans     bigint NOT NULL,
    inserted        bigint NOT NULL,
    updated         bigint NOT NULL,
    deleted         bigint NOT NULL,
    live_rows       bigint NOT NULL, -- an estimate
    size_bytes      bigint NOT NULL,
    PRIMARY KEY (taken_at, table_oid)
) PARTITION BY RANGE (taken_at);
GRANT SELECT, INSERT ON table_samples TO payaid_system;

-- What each index did on a day (UTC), kept when its samples are gone.
CREATE TABLE index_sample_days (
    day         date NOT NULL,
    definition  bigint NOT NULL,
    index_name  text NOT NULL, -- with its schema
    scans       bigint NOT NULL,
    tuples_read bigint NOT NULL,
    blocks_hit  bigint NOT NULL,
    blocks_read bigint NOT NULL,
    size_bytes  bigint NOT NULL, -- at the end
    samples     integer NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, definition)
);
CREATE INDEX idx_index_sample_days_definition ON index_sample_days (definition, day DESC);
GRANT SELECT, INSERT, UPDATE, DELETE ON index_sample_days TO payaid_system;

-- Makes the partitions of this week (from Monday, UTC) and that many more. Returns how many it made. Attaching is
-- possible while a dump reads the table.
-- +goose StatementBegin
CREATE FUNCTION index_samples_make_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    monday date := date_trunc('week', now() AT TIME ZONE 'UTC')::date;
    made   integer := 0;
    parent text;
    name   text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('payaid.index_samples_partitions'));
    PERFORM set_config('lock_timeout', '3s', true);
    FOREACH parent IN ARRAY ARRAY['index_samples', 'table_samples'] LOOP
        FOR week IN 0..ahead LOOP
            name := parent || '_' || to_char(monday + 7 * week, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', name, parent);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', parent, name,
                           (monday + 7 * week)::timestamp AT TIME ZONE 'UTC', (monday + 7 * week + 7)::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- Drops the weeks that ended before keep_after. Returns how many partitions it dropped.
-- +goose StatementBegin
CREATE FUNCTION index_samples_drop_partitions(keep_after timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    dropped integer := 0;
    part    record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('payaid.index_samples_partitions'));
    PERFORM set_config('lock_timeout', '3s', true);
    FOR part IN
        SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS monday
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('public.index_samples'::regclass, 'public.table_samples'::regclass)
          AND c.relname ~ '^(index|table)_samples_[0-9]{8}$'
        ORDER BY 1
    LOOP
        CONTINUE WHEN (part.monday + 7)::timestamp AT TIME ZONE 'UTC' > keep_after;
        EXECUTE format('DROP TABLE public.%I', part.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
-- +goose StatementEnd

-- How wide the columns of tables are, and of expressions in indexes. Row security hides the statistics of tenants'
-- tables from those whom it binds; widths are nobody's secret, and values are not shown.
-- +goose StatementBegin
CREATE FUNCTION column_widths() RETURNS TABLE (relation oid, attribute smallint, width integer, null_fraction real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
    SELECT a.attrelid, a.attnum, s.avg_width, s.null_frac
    FROM pg_stats s
    JOIN pg_namespace n ON n.nspname = s.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
    WHERE NOT s.inherited AND s.schemaname NOT IN ('pg_catalog', 'information_schema')
$$;
-- +goose StatementEnd

-- Indexes that are being built in this database. Who may not look at another's session sees no more than that it
-- is there; the owner sees its own, which migrations are.
-- +goose StatementBegin
CREATE FUNCTION index_builds() RETURNS TABLE (index_oid oid, table_oid oid, command text, phase text,
    blocks_done bigint, blocks_total bigint, lockers_done bigint, lockers_total bigint, locker_pid bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
    SELECT p.index_relid, p.relid, p.command, p.phase, p.blocks_done, p.blocks_total, p.lockers_done, p.lockers_total,
           nullif(p.current_locker_pid, 0)
    FROM pg_stat_progress_create_index p WHERE p.datname = current_database()
$$;
-- +goose StatementEnd

-- How full the leaves of a B-tree are, in per cent, by reading all of it; no row where the extension pgstattuple is
-- not installed.
-- +goose StatementBegin
CREATE FUNCTION index_density(index_oid oid) RETURNS TABLE (size_bytes bigint, leaf_density double precision, leaf_fragmentation double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    home text;
BEGIN
    SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgstattuple';
    IF home IS NOT NULL THEN
        RETURN QUERY EXECUTE format('SELECT index_size, avg_leaf_density, leaf_fragmentation FROM %I.pgstatindex($1::regclass)', home)
            USING index_oid;
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION index_samples_make_partitions(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION index_samples_drop_partitions(timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION column_widths() FROM PUBLIC;
REVOKE ALL ON FUNCTION index_builds() FROM PUBLIC;
REVOKE ALL ON FUNCTION index_density(oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION index_samples_make_partitions(integer), index_samples_drop_partitions(timestamptz),
    column_widths(), index_builds(), index_density(oid) TO payaid_system;

SELECT index_samples_make_partitions(1);

-- +goose Down
DROP FUNCTION index_density(oid);
DROP FUNCTION index_builds();
DROP FUNCTION column_widths();
DROP FUNCTION index_samples_drop_partitions(timestamptz);
DROP FUNCTION index_samples_make_partitions(integer);
DROP TABLE index_sample_days;
DROP TABLE table_samples;
DROP TABLE index_samples;
DROP TABLE index_sample_runs;
