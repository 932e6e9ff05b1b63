-- +goose Up

-- A key of the operator's that may see the whole installation and change nothing.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_scopes_check
    CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'jobs', 'admin', 'admin_read']);

-- Who is signed in to the pages of the admin. The token itself is in the cookie alone.
CREATE TABLE admin_sessions (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    id         uuid NOT NULL UNIQUE,
    -- The key that was given: when it ends or is changed, so does the session.
    key_hash   bytea NOT NULL CHECK (length(key_hash) = 32),
    key_id     text NOT NULL,
    key_name   text NOT NULL,
    role       text NOT NULL CHECK (role IN ('admin', 'read_only')),
    address    text NOT NULL,
    user_agent text NOT NULL CHECK (length(user_agent) <= 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
GRANT SELECT, INSERT, UPDATE, DELETE ON admin_sessions TO payaid_system;

-- What operators did, or tried to. Nobody changes or deletes it.
CREATE TABLE audit_log (
    id         uuid PRIMARY KEY, -- UUIDv7: the order
    at         timestamptz NOT NULL DEFAULT now(),
    key_id     text NOT NULL,    -- of who did it; 'admin' is the key of the configuration
    key_name   text NOT NULL,
    role       text NOT NULL CHECK (role IN ('admin', 'read_only')),
    session_id uuid,             -- by a page; null: by the API
    address    text,
    request_id text,
    action     text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'), -- job.retry
    target     text NOT NULL,    -- job
    target_id  text NOT NULL,
    of_organization uuid,        -- whose it is that was acted on
    outcome    text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    detail     text,             -- why it was refused
    before     jsonb,
    after      jsonb
);
CREATE INDEX idx_audit_log_target ON audit_log (target, target_id, id);
CREATE INDEX idx_audit_log_key ON audit_log (key_id, id);
-- +goose StatementBegin
CREATE FUNCTION audit_log_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_log_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_kept();
GRANT SELECT, INSERT ON audit_log TO payaid_system;

-- +goose Down
DROP TABLE audit_log;
DROP FUNCTION audit_log_is_kept();
DROP TABLE admin_sessions;
-- Keys of the new scope alone are revoked, and can do nothing; the others lose it.
UPDATE api_keys SET scopes = CASE WHEN scopes = ARRAY['admin_read'] THEN ARRAY['read'] ELSE array_remove(scopes, 'admin_read') END,
    revoked_at = CASE WHEN scopes = ARRAY['admin_read'] THEN coalesce(revoked_at, now()) ELSE revoked_at END
WHERE 'admin_read' = ANY (scopes);
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_scopes_check
    CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'jobs', 'admin']);
