-- +goose Up

-- Searches by words, as search_contacts does: the functions for one text stay for the programs of before, which may
-- still run. What is said there of the owner's eyes, and of walking and the index, holds here too.

-- Finds the deals of the transaction's organization whose title contains all words, in capitals or not and in any
-- order: their ids, newest first.
--
-- contained: patterns of LIKE, one at least. Filters that are null don't narrow. before: only older deals.
-- +goose StatementBegin
CREATE FUNCTION search_deals(contained text[], with_status text, with_stage text, with_contact uuid, before uuid, at_most integer)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
DECLARE
    org     CONSTANT uuid := public.current_organization();
    chosen  CONSTANT text := 'organization_id = $1'
        || CASE WHEN with_status IS NOT NULL THEN ' AND status = $2' ELSE '' END
        || CASE WHEN with_stage IS NOT NULL THEN ' AND stage = $3' ELSE '' END
        || CASE WHEN with_contact IS NOT NULL THEN ' AND contact_id = $4' ELSE '' END
        || CASE WHEN before IS NOT NULL THEN ' AND id < $5' ELSE '' END;
    matches text := 'true';
    way     integer := CASE WHEN array_to_string(contained, ' ') ~ '[[:alnum:]]{3}' THEN 10000 END; -- null: to the end
    met     uuid[];
BEGIN
    FOR i IN 1 .. cardinality(contained) LOOP
        matches := matches || format(' AND lower(title) LIKE ($6)[%s]', i);
    END LOOP;
    contained := ARRAY(SELECT lower(p) FROM unnest(contained) AS p);
    LOOP
        -- The limit inside keeps LIKE outside, where it can't turn the walk into something else.
        EXECUTE format('
            SELECT ARRAY(SELECT id FROM (SELECT id, title FROM deals WHERE %s ORDER BY id DESC LIMIT $8) AS walked
                         WHERE %s LIMIT $7)', chosen, matches)
        INTO met
        USING org, with_status, with_stage, with_contact, before, contained, at_most, way;
        IF way IS NULL OR cardinality(met) >= at_most THEN
            RETURN QUERY SELECT unnest(met);
            RETURN;
        END IF;
        EXIT WHEN way > 10000 OR cardinality(met) * 10 < at_most;
        way := 100000;
    END LOOP;
    -- MATERIALIZED keeps order and limit out, for with them it could become a walk over all.
    RETURN QUERY EXECUTE format('
        WITH matching AS MATERIALIZED (SELECT id FROM deals WHERE %s AND %s)
        SELECT id FROM matching ORDER BY id DESC LIMIT $7', chosen, matches)
    USING org, with_status, with_stage, with_contact, before, contained, at_most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION search_deals(text[], text, text, uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_deals(text[], text, text, uuid, uuid, integer) TO payaid_app;

-- Finds the invoices of the transaction's organization that say all words in number and customer's name, or whose
-- contact has all in its name, in capitals or not and in any order: their ids, newest first. Words of which one is
-- in the number and another in a name that the contact took later are not found, as no index knows both.
--
-- contained: patterns of LIKE, one at least. Filters that are null don't narrow. before: only older invoices, or null.
-- +goose StatementBegin
CREATE FUNCTION search_invoices(contained text[], with_status text, with_contact uuid, before uuid, at_most integer)
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
    said   text := 'true'; -- of an invoice
    known  text := 'true'; -- of a contact, by the index
    named  text := 'true'; -- of a contact
    way    integer := CASE WHEN array_to_string(contained, ' ') ~ '[[:alnum:]]{3}' THEN 2000 END; -- null: to the end
    met    uuid[];
BEGIN
    FOR n IN 1 .. cardinality(contained) LOOP
        said := said || format(' AND lower(i.number || E''\n'' || coalesce(i.customer ->> ''name'', '''')) LIKE ($5)[%s]', n);
        known := known || format(' AND c.search LIKE ($5)[%s]', n);
        named := named || format(' AND lower(c.name) LIKE ($5)[%s]', n);
    END LOOP;
    contained := ARRAY(SELECT lower(p) FROM unnest(contained) AS p);
    LOOP
        -- OFFSET keeps LIKE outside, where it can't turn the walk into something else. A name that is looked up
        -- by itself can't become a hash of all contacts, as one that EXISTS asks for can.
        EXECUTE format('
            SELECT ARRAY(
                SELECT i.id
                FROM (SELECT id, organization_id, contact_id, number, customer FROM invoices i WHERE %s
                      ORDER BY id DESC OFFSET 0 LIMIT $7) AS i
                WHERE %s OR (SELECT %s FROM contacts c WHERE c.organization_id = $1 AND c.id = i.contact_id)
                LIMIT $6)', chosen, said, named)
        INTO met
        USING org, with_status, with_contact, before, contained, at_most, way;
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
            WHERE c.organization_id = $1 AND %3$s AND %4$s AND %1$s
        )
        SELECT id FROM matching ORDER BY id DESC LIMIT $6', chosen, said, known, named)
    USING org, with_status, with_contact, before, contained, at_most;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION search_invoices(text[], text, uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_invoices(text[], text, uuid, uuid, integer) TO payaid_app;

-- +goose Down
DROP FUNCTION search_deals(text[], text, text, uuid, uuid, integer);
DROP FUNCTION search_invoices(text[], text, uuid, uuid, integer);
