-- +goose Up

-- Two roles that own nothing. Processes log in as any member of them and SET ROLE at connect:
-- payaid_app answers requests and sees one organization at a time; payaid_system relays, routes and
-- works, and sees all. Roles belong to the cluster, so another database may have made them already.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE ROLE payaid_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    CREATE ROLE payaid_system NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
-- +goose StatementEnd
-- A superuser may SET ROLE without a grant; skipping it there keeps a shared cluster's catalogue still.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        GRANT payaid_app, payaid_system TO CURRENT_USER;
    END IF;
END
$$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA public TO payaid_app, payaid_system;

-- The organization of the transaction: set by set_config('app.organization_id', $1, true). Unset, or the
-- empty string that a pooled connection keeps afterwards, means none, and then nothing is visible.
-- +goose StatementBegin
CREATE FUNCTION current_organization() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.organization_id', true), '')::uuid $$;
-- +goose StatementEnd

CREATE TABLE organizations (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    state      text NOT NULL CHECK (length(state) BETWEEN 1 AND 64),
    gstin      text CHECK (gstin ~ '^[0-9]{2}[A-Z0-9]{13}$'),
    plan       text NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'basic', 'pro', 'enterprise')),
    currency   text NOT NULL DEFAULT 'INR' CHECK (currency ~ '^[A-Z]{3}$'),
    timezone   text NOT NULL DEFAULT 'Asia/Kolkata',
    settings   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations TO payaid_app
    USING (id = current_organization()) WITH CHECK (id = current_organization());
CREATE POLICY system ON organizations TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON organizations TO payaid_app, payaid_system;

-- The operator's own organization: the admin key and the platform's own work belong to it.
INSERT INTO organizations (id, name, state) VALUES ('00000000-0000-0000-0000-000000000000', 'Operator', '-');

CREATE TABLE api_keys (
    organization_id uuid NOT NULL REFERENCES organizations,
    id              uuid NOT NULL,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix          text NOT NULL,
    key_hash        bytea NOT NULL CHECK (length(key_hash) = 32),
    scopes          text[] NOT NULL CHECK (cardinality(scopes) > 0
                        AND scopes <@ ARRAY['read', 'write', 'jobs', 'admin']),
    rate_limit      integer CHECK (rate_limit > 0),
    ip_allow        text[] NOT NULL DEFAULT '{}',
    expires_at      timestamptz,
    last_used_at    timestamptz,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    version         bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id)
);
-- The one look-up that starts without an organization.
CREATE UNIQUE INDEX idx_api_keys_hash ON api_keys (key_hash);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO payaid_app
    USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization());
CREATE POLICY system ON api_keys TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON api_keys TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO payaid_system;

-- Who holds a key is asked before the organization is known, so this one question is answered with the
-- owner's eyes, and answers nothing but the row of exactly that key.
-- +goose StatementBegin
CREATE FUNCTION authenticate_key(hash bytea)
RETURNS TABLE (organization_id uuid, id uuid, scopes text[], rate_limit integer, ip_allow text[], expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
    SELECT k.organization_id, k.id, k.scopes, k.rate_limit, k.ip_allow, k.expires_at
    FROM public.api_keys k
    WHERE k.key_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION authenticate_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authenticate_key(bytea) TO payaid_app, payaid_system;

-- +goose Down
DROP FUNCTION authenticate_key(bytea);
DROP TABLE api_keys;
DROP TABLE organizations;
DROP FUNCTION current_organization();
-- The roles stay: other databases of the cluster may use them.
