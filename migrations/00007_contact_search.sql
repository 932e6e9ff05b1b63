-- +goose Up

-- Finds the contacts of the transaction's organization that a search is for: their ids, newest first.
--
-- LIKE may tell of rows that a policy hides, by its errors, so under row-level security Postgres looks at every
-- row that the policy lets through before it asks LIKE, and never at the index of trigrams. This function looks
-- with the owner's eyes instead. It takes the organization from the transaction alone, and answers ids alone.
--
-- A frequent word is found soonest by walking from the newest contact on, a rare one by the index, which must
-- fetch all matches before it can tell the newest. So it walks a short way, and on from there for as long as it
-- meets matches often enough; else the index answers for the rest.
--
-- contained: patterns of LIKE that all are to match; beginnings: texts, escaped for LIKE, of which some word is to
-- begin with each. Filters that are empty don't narrow. before: only older contacts, or null.
-- +goose StatementBegin
CREATE FUNCTION search_contacts(contained text[], beginnings text[], with_status text, with_type text,
                                with_stage text, before uuid, at_most integer)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
DECLARE
    org     CONSTANT uuid := public.current_organization();
    chosen  text := 'organization_id = $1';
    matches text := 'true';
    inside  text[];
    way     integer := 2000; -- contacts of the next walk: one of two milliseconds
    turn    uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    start   uuid;
    met     integer;
BEGIN
    FOR i IN 1 .. cardinality(contained) LOOP
        matches := matches || format(' AND search LIKE ($2)[%s]', i);
    END LOOP;
    FOR i IN 1 .. cardinality(beginnings) LOOP
        matches := matches || format(' AND (search LIKE ($3)[%1$s] OR search LIKE ($4)[%1$s])', i);
    END LOOP;
    chosen := chosen || coalesce(' AND status = ' || quote_literal(nullif(with_status, '')), '')
                     || coalesce(' AND type = ' || quote_literal(nullif(with_type, '')), '')
                     || coalesce(' AND stage = ' || quote_literal(nullif(with_stage, '')), '');
    contained := ARRAY(SELECT lower(p) FROM unnest(contained) WITH ORDINALITY AS u (p, i) ORDER BY i);
    beginnings := ARRAY(SELECT lower(w) || '%' FROM unnest(beginnings) WITH ORDINALITY AS u (w, i) ORDER BY i);
    inside := ARRAY(SELECT '% ' || w FROM unnest(beginnings) WITH ORDINALITY AS u (w, i) ORDER BY i);
    LOOP
        start := turn;
        EXECUTE format('SELECT id FROM contacts WHERE %s AND id < $2 ORDER BY id DESC OFFSET $3 LIMIT 1', chosen)
        INTO turn USING org, start, way;
        -- OFFSET keeps the matching outside, for inside it could turn the walk into something else.
        RETURN QUERY EXECUTE format('
            SELECT id FROM (
                SELECT id, search FROM contacts WHERE %s AND id < $5 AND id >= $6 ORDER BY id DESC OFFSET 0
            ) AS walked
            WHERE %s LIMIT $7', chosen, matches)
        USING org, contained, beginnings, inside, start, coalesce(turn, '00000000-0000-0000-0000-000000000000'), at_most;
        GET DIAGNOSTICS met = ROW_COUNT;
        at_most := at_most - met;
        IF at_most = 0 OR turn IS NULL THEN
            RETURN;
        END IF;
        -- Met by one in 200, the walk to a full page and the look at all matches of a million cost the same.
        EXIT WHEN met * 200 < way;
        way := least(2 * way * at_most / met, 20000);
    END LOOP;
    -- MATERIALIZED keeps order and limit out, for with them it could become a walk over all.
    RETURN QUERY EXECUTE format('
        WITH matching AS MATERIALIZED (SELECT id FROM contacts WHERE %s AND id < $5 AND %s)
        SELECT id FROM matching ORDER BY id DESC LIMIT $6', chosen, matches)
    USING org, contained, beginnings, inside, turn, at_most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION search_contacts(text[], text[], text, text, text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_contacts(text[], text[], text, text, text, uuid, integer) TO payaid_app;

-- +goose Down
DROP FUNCTION search_contacts(text[], text[], text, text, text, uuid, integer);
