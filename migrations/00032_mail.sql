-- +goose Up

-- A mail as its sender sees it: what became of the mail.send job of the same id at the mail server and beyond.
CREATE TABLE mail_messages (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL, -- that of the job
    state           text NOT NULL DEFAULT 'queued' CHECK (state IN
                        ('queued', 'sending', 'accepted', 'deferred', 'failed', 'suppressed', 'unknown', 'cancelled')),
    stream          text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_-]{0,31}$'),
    template        text,
    subject         text,        -- as it was sent; null before the first attempt
    dated_at        timestamptz, -- the mail's own date, the same in every attempt
    size            bigint,      -- of the composed mail, in bytes
    -- What is done with a recipient of whom nobody knows whether the server took the mail.
    on_unknown      text NOT NULL DEFAULT 'resend' CHECK (on_unknown IN ('resend', 'hold')),
    run             integer NOT NULL DEFAULT 1, -- of the job, that the states belong to
    invoice_id      uuid, -- that it is about; no foreign key, as what was sent stays sent
    deal_id         uuid,
    contact_id      uuid,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
-- What comes back from mail servers names the mail and nothing else.
CREATE INDEX idx_mail_messages_id ON mail_messages (id);
CREATE INDEX idx_mail_messages_org_state ON mail_messages (organization_id, state, id);
CREATE INDEX idx_mail_messages_org_contact ON mail_messages (organization_id, contact_id, id) WHERE contact_id IS NOT NULL;
CREATE INDEX idx_mail_messages_org_invoice ON mail_messages (organization_id, invoice_id, id) WHERE invoice_id IS NOT NULL;
ALTER TABLE mail_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail_messages TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON mail_messages TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON mail_messages TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_messages TO payaid_system;

-- One address of a mail. Each is submitted in a transaction of its own, as a server answers once for all of one.
CREATE TABLE mail_recipients (
    organization_id uuid NOT NULL,
    message_id      uuid NOT NULL,
    position        smallint NOT NULL CHECK (position > 0), -- to, then cc, then bcc
    field           text NOT NULL CHECK (field IN ('to', 'cc', 'bcc')),
    address         text NOT NULL CHECK (length(address) BETWEEN 3 AND 254), -- its domain in lower case and ASCII
    name            text,
    state           text NOT NULL DEFAULT 'queued' CHECK (state IN
                        ('queued', 'sending', 'accepted', 'deferred', 'failed', 'suppressed', 'unknown', 'cancelled')),
    -- The try that is, or was, under way. "sending" with somebody else's claim is a try whose process died.
    claim           uuid,
    attempts        integer NOT NULL DEFAULT 0, -- tries that the server has answered, or may have
    code            integer, -- of the server's last answer
    status          text,    -- its enhanced code (RFC 3463)
    reply           text,
    queue_id        text,    -- the server's name for what it accepted
    sending_at      timestamptz,
    accepted_at     timestamptz,
    unknown_at      timestamptz,
    next_attempt_at timestamptz,
    delivered_at    timestamptz,
    bounced_at      timestamptz,
    complained_at   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, message_id, position),
    FOREIGN KEY (organization_id, message_id) REFERENCES mail_messages ON DELETE CASCADE,
    CHECK (state <> 'sending' OR claim IS NOT NULL AND sending_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX idx_mail_recipients_org_address ON mail_recipients (organization_id, lower(address), message_id);
ALTER TABLE mail_recipients ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail_recipients TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON mail_recipients TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON mail_recipients TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_recipients TO payaid_system;

-- The timeline of a mail.
CREATE TABLE mail_events (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    message_id      uuid NOT NULL,
    position        smallint, -- of the recipient; null: the whole mail
    type            text NOT NULL CHECK (type ~ '^[a-z_]{1,32}$'),
    detail          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    source          text, -- names what told of it, so that the same news counts once
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, message_id) REFERENCES mail_messages ON DELETE CASCADE,
    UNIQUE (organization_id, message_id, source)
);
CREATE INDEX idx_mail_events_org_message ON mail_events (organization_id, message_id, id);
ALTER TABLE mail_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail_events TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON mail_events TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON mail_events TO payaid_app;
GRANT SELECT, INSERT, DELETE ON mail_events TO payaid_system;

-- Addresses that an organization sends nothing to: on a stream, or on any ('*').
CREATE TABLE mail_suppressions (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    address         text NOT NULL CHECK (length(address) BETWEEN 3 AND 254), -- in lower case
    stream          text NOT NULL CHECK (stream = '*' OR stream ~ '^[a-z][a-z0-9_-]{0,31}$'),
    reason          text NOT NULL CHECK (reason IN ('hard_bounce', 'soft_bounce', 'complaint', 'unsubscribe', 'manual')),
    detail          text CHECK (length(detail) <= 1000),
    message_id      uuid, -- that led to it; no foreign key, as it outlives the mail
    expires_at      timestamptz, -- null: never
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, address, stream)
);
ALTER TABLE mail_suppressions ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail_suppressions TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON mail_suppressions TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_suppressions TO payaid_app, payaid_system;

-- An organization's own texts. One of the name of a template of the product takes its place.
CREATE TABLE mail_templates (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    name            text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,63}$'),
    subject         text NOT NULL CHECK (length(subject) BETWEEN 1 AND 2000),
    text            text NOT NULL DEFAULT '' CHECK (octet_length(text) <= 65536),
    html            text NOT NULL DEFAULT '' CHECK (octet_length(html) <= 65536),
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name),
    CHECK (text <> '' OR html <> '')
);
ALTER TABLE mail_templates ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail_templates TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON mail_templates TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_templates TO payaid_app, payaid_system;

-- A job may end by many hands: its client's, a deadline's, an operator's. Whatever ends it without a result ends
-- what of its mail was not sent. A try that is under way may still succeed, and then says so.
-- +goose StatementBegin
CREATE FUNCTION mail_job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told integer;
BEGIN
    -- Everybody locks a mail before its recipients.
    PERFORM FROM mail_messages WHERE organization_id = NEW.organization_id AND id = NEW.id FOR UPDATE;
    UPDATE mail_recipients
    SET state = CASE WHEN state = 'sending' THEN 'unknown' WHEN NEW.status = 'cancelled' THEN 'cancelled' ELSE 'failed' END,
        unknown_at = CASE WHEN state = 'sending' THEN now() ELSE unknown_at END,
        next_attempt_at = NULL, updated_at = now()
    WHERE organization_id = NEW.organization_id AND message_id = NEW.id AND state IN ('queued', 'deferred', 'sending');
    GET DIAGNOSTICS told = ROW_COUNT;
    IF told > 0 THEN
        UPDATE mail_messages m
        SET state = mail_state(m.organization_id, m.id), version = version + 1, updated_at = now()
        WHERE organization_id = NEW.organization_id AND id = NEW.id;
        INSERT INTO mail_events (organization_id, id, message_id, type, detail)
        VALUES (NEW.organization_id, gen_random_uuid(), NEW.id, NEW.status,
                CASE WHEN NEW.error IS NULL THEN '{}' ELSE jsonb_build_object('code', NEW.error->>'code') END);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- The state of a mail follows those of its recipients: what is still open first, then the best that was reached.
-- +goose StatementBegin
CREATE FUNCTION mail_state(organization uuid, message uuid) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT coalesce((
        SELECT r.state FROM mail_recipients r
        WHERE r.organization_id = organization AND r.message_id = message
        ORDER BY array_position(ARRAY['sending', 'unknown', 'deferred', 'queued', 'accepted', 'failed', 'suppressed', 'cancelled'], r.state)
        LIMIT 1), 'queued')
$$;
-- +goose StatementEnd

CREATE TRIGGER mail_job_ended AFTER UPDATE OF status ON jobs FOR EACH ROW
WHEN (NEW.kind = 'mail.send' AND NEW.status IN ('failed', 'cancelled') AND OLD.status <> NEW.status)
EXECUTE FUNCTION mail_job_ended();

-- +goose Down
DROP TRIGGER mail_job_ended ON jobs;
DROP FUNCTION mail_job_ended();
DROP FUNCTION mail_state(uuid, uuid);
DROP TABLE mail_templates;
DROP TABLE mail_suppressions;
DROP TABLE mail_events;
DROP TABLE mail_recipients;
DROP TABLE mail_messages;
