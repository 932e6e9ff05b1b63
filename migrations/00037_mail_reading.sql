-- +goose Up

-- What mails are looked for by. The first release that has mails brings these with them.
CREATE INDEX idx_mail_messages_org_template ON mail_messages (organization_id, template, id) WHERE template IS NOT NULL;
-- Nearly all mails are transactional, and found soon by walking from the newest on.
CREATE INDEX idx_mail_messages_org_stream ON mail_messages (organization_id, stream, id) WHERE stream <> 'transactional';
-- How mail does over all organizations: what is open, and what happened lately.
CREATE INDEX idx_mail_messages_open ON mail_messages (state, created_at)
    WHERE state IN ('queued', 'sending', 'deferred', 'unknown');
CREATE INDEX idx_mail_events_created ON mail_events (created_at) INCLUDE (type);

-- Finds the mails of the transaction's organization that went to an address, which is in lower case: their ids,
-- newest first. before: only older ones, or null; at_most: null for all.
--
-- lower() may tell of rows that a policy hides, by its errors, so under row-level security Postgres would look at
-- every row that the policy lets through. This function looks with the owner's eyes instead. It takes the
-- organization from the transaction alone, and answers ids alone.
-- +goose StatementBegin
CREATE FUNCTION mails_to(addressee text, before uuid, at_most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER ROWS 50
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT message_id FROM public.mail_recipients
    WHERE organization_id = public.current_organization() AND lower(address) = addressee
      AND message_id < coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY message_id DESC LIMIT at_most
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION mails_to(text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mails_to(text, uuid, integer) TO payaid_app;

-- +goose Down
DROP FUNCTION mails_to(text, uuid, integer);
DROP INDEX idx_mail_events_created;
DROP INDEX idx_mail_messages_open;
DROP INDEX idx_mail_messages_org_stream;
DROP INDEX idx_mail_messages_org_template;
