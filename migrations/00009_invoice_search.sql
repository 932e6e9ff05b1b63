-- +goose Up

-- What a sent invoice says for good: its number, and whom it was for. Words of the two never run together.
CREATE INDEX idx_invoices_search ON invoices USING gin
    (organization_id, lower(number || E'\n' || coalesce(customer ->> 'name', '')) gin_trgm_ops) WHERE number IS NOT NULL;

-- Finds the invoices of the transaction's organization whose number, customer's name or contact's name contains a
-- text, in capitals or not: their ids, newest first.
--
-- LIKE may tell of rows that a policy hides, by its errors, so under row-level security Postgres looks at every
-- row that the policy lets through before it asks LIKE, and never at an index of trigrams. This function looks with
-- the owner's eyes instead. It takes the organization from the transaction alone, and answers ids alone.
--
-- A frequent text is found soonest by walking from the newest invoice on, a rare one by the indexes, which must
-- fetch all matches before they can tell the newest. So it walks a short way first, and a long one if the short
-- one gave a tenth of a page; else the indexes answer for the rest. A text without three letters or digits in a
-- row has no trigram to ask an index for, so it walks to the end.
--
-- pattern: of LIKE. Filters that are null don't narrow. before: only older invoices, or null.
-- +goose StatementBegin
CREATE FUNCTION search_invoices(pattern text, with_status text, with_contact uuid, before uuid, at_most integer)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
DECLARE
    org    CONSTANT uuid := public.current_organization();
    chosen CONSTANT text := 'i.organization_id = $1'
        || CASE WHEN with_status IS NOT NULL THEN ' AND i.status = $2' ELSE '' END
        || CASE WHEN with_contact IS NOT NULL THEN ' AND i.contact_id = $3' ELSE '' END
        || CASE WHEN before IS NOT NULL THEN ' AND i.id < $4' ELSE '' END;
    said   CONSTANT text := 'lower(i.number || E''\n'' || coalesce(i.customer ->> ''name'', '''')) LIKE $5';
    way    integer := CASE WHEN pattern ~ '[[:alnum:]]{3}' THEN 2000 END; -- null: to the end
    met    uuid[];
BEGIN
    LOOP
        -- OFFSET keeps LIKE outside, where it can't turn the walk into something else. A name that is looked up
        -- by itself can't become a hash of all contacts, as one that EXISTS asks for can.
        EXECUTE format('
            SELECT ARRAY(
                SELECT i.id
                FROM (SELECT id, organization_id, contact_id, number, customer FROM invoices i WHERE %s
                      ORDER BY id DESC OFFSET 0 LIMIT $7) AS i
                WHERE %s OR lower((SELECT name FROM contacts c WHERE c.organization_id = $1 AND c.id = i.contact_id)) LIKE $5
                LIMIT $6)', chosen, said)
        INTO met
        USING org, with_status, with_contact, before, lower(pattern), at_most, way;
        IF way IS NULL OR cardinality(met) >= at_most THEN
            RETURN QUERY SELECT unnest(met);
            RETURN;
        END IF;
        EXIT WHEN way > 2000 OR cardinality(met) * 10 < at_most;
        way := 40000;
    END LOOP;
    -- MATERIALIZED keeps order and limit out, for with them it could become a walk over all.
    RETURN QUERY EXECUTE format('
        WITH matching AS MATERIALIZED (
            SELECT i.id FROM invoices i WHERE %1$s AND i.number IS NOT NULL AND %2$s AND $2 IS DISTINCT FROM ''draft''
            UNION
            SELECT i.id FROM contacts c JOIN invoices i ON i.organization_id = c.organization_id AND i.contact_id = c.id
            WHERE c.organization_id = $1 AND c.search LIKE $5 AND lower(c.name) LIKE $5 AND %1$s
        )
        SELECT id FROM matching ORDER BY id DESC LIMIT $6', chosen, said)
    USING org, with_status, with_contact, before, lower(pattern), at_most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION search_invoices(text, text, uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_invoices(text, text, uuid, uuid, integer) TO payaid_app;

-- +goose Down
DROP FUNCTION search_invoices(text, text, uuid, uuid, integer);
DROP INDEX idx_invoices_search;
