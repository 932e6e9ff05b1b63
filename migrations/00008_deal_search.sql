-- +goose Up

-- Finds the deals of the transaction's organization whose title contains a text, in capitals or not: their ids,
-- newest first.
--
-- LIKE may tell of rows that a policy hides, by its errors, so under row-level security Postgres looks at every
-- row that the policy lets through before it asks LIKE, and never at the index of trigrams. This function looks
-- with the owner's eyes instead. It takes the organization from the transaction alone, and answers ids alone.
--
-- A frequent text is found soonest by walking from the newest deal on, a rare one by the index, which must fetch
-- all matches before it can tell the newest. So it walks a short way first, and a long one if the short one gave a
-- tenth of a page; else the index answers. A text without three letters or digits in a row has no trigram to ask
-- the index for, so it walks to the end.
--
-- pattern: of LIKE. Filters that are null don't narrow. before: only older deals.
-- +goose StatementBegin
CREATE FUNCTION search_deals(pattern text, with_status text, with_stage text, with_contact uuid, before uuid, at_most integer)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
DECLARE
    org    CONSTANT uuid := public.current_organization();
    chosen CONSTANT text := 'organization_id = $1'
        || CASE WHEN with_status IS NOT NULL THEN ' AND status = $2' ELSE '' END
        || CASE WHEN with_stage IS NOT NULL THEN ' AND stage = $3' ELSE '' END
        || CASE WHEN with_contact IS NOT NULL THEN ' AND contact_id = $4' ELSE '' END
        || CASE WHEN before IS NOT NULL THEN ' AND id < $5' ELSE '' END;
    way    integer := CASE WHEN pattern ~ '[[:alnum:]]{3}' THEN 10000 END; -- null: to the end
    met    uuid[];
BEGIN
    LOOP
        -- The limit inside keeps LIKE outside, where it can't turn the walk into something else.
        EXECUTE format('
            SELECT ARRAY(SELECT id FROM (SELECT id, title FROM deals WHERE %s ORDER BY id DESC LIMIT $8) AS walked
                         WHERE lower(title) LIKE $6 LIMIT $7)', chosen)
        INTO met
        USING org, with_status, with_stage, with_contact, before, lower(pattern), at_most, way;
        IF way IS NULL OR cardinality(met) >= at_most THEN
            RETURN QUERY SELECT unnest(met);
            RETURN;
        END IF;
        EXIT WHEN way > 10000 OR cardinality(met) * 10 < at_most;
        way := 100000;
    END LOOP;
    -- MATERIALIZED keeps order and limit out, for with them it could become a walk over all.
    RETURN QUERY EXECUTE format('
        WITH matching AS MATERIALIZED (SELECT id FROM deals WHERE %s AND lower(title) LIKE $6)
        SELECT id FROM matching ORDER BY id DESC LIMIT $7', chosen)
    USING org, with_status, with_stage, with_contact, before, lower(pattern), at_most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION search_deals(text, text, text, uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_deals(text, text, text, uuid, uuid, integer) TO payaid_app;

-- +goose Down
DROP FUNCTION search_deals(text, text, text, uuid, uuid, integer);
