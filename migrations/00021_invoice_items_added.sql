-- +goose Up

-- An item that is added to a sent invoice changes what it says as much as one that is taken away. Who writes
-- a whole invoice at once, as an import does, adds the items in the transaction that made its row.
-- +goose StatementBegin
CREATE FUNCTION invoice_items_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN invoices i ON i.organization_id = a.organization_id AND i.id = a.invoice_id
        WHERE i.status <> 'draft' AND i.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'a sent invoice can not be given items'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_fixed';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER invoice_items_added AFTER INSERT ON invoice_items REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_items_added();

-- +goose Down
DROP TRIGGER invoice_items_added ON invoice_items;
DROP FUNCTION invoice_items_added();
