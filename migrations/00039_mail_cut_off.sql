-- +goose Up

-- A job may end by many hands: its client's, a deadline's, an operator's. Whatever ends it without a result ends
-- what of its mail was not sent. A try that is under way may still succeed, and then says so; until then the timeline
-- tells of each such recipient that nobody knows, after what ended the job. Nobody is sent to at the time noted any more.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mail_job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told integer;
BEGIN
    -- Everybody locks a mail before its recipients.
    PERFORM FROM mail_messages WHERE organization_id = NEW.organization_id AND id = NEW.id FOR UPDATE;
    -- Ids that the schema makes don't tell the time, so the time itself must tell what comes second.
    INSERT INTO mail_events (organization_id, id, message_id, position, type, detail, created_at)
    SELECT NEW.organization_id, gen_random_uuid(), NEW.id, position, 'unknown',
        jsonb_build_object('attempt', attempts, 'reason', 'the job ended'), now() + interval '1 microsecond'
    FROM mail_recipients
    WHERE organization_id = NEW.organization_id AND message_id = NEW.id AND state = 'sending';
    UPDATE mail_recipients
    SET state = CASE WHEN state IN ('sending', 'unknown') THEN 'unknown' WHEN NEW.status = 'cancelled' THEN 'cancelled' ELSE 'failed' END,
        unknown_at = CASE WHEN state = 'sending' THEN now() ELSE unknown_at END,
        next_attempt_at = NULL, updated_at = now()
    WHERE organization_id = NEW.organization_id AND message_id = NEW.id
      AND (state IN ('queued', 'deferred', 'sending') OR state = 'unknown' AND next_attempt_at IS NOT NULL);
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

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mail_job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
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
