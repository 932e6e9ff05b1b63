-- The passwords of the logins, as the files of secrets have them. Run again after these were changed:
--   docker compose up -d --force-recreate postgres
--   docker compose exec postgres psql -q -U postgres -f /docker-entrypoint-initdb.d/20-passwords.sql
\set ON_ERROR_STOP on
\set admin `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_password"`
\set owner `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_owner_password"`
\set service `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_service_password"`
\set backup `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_backup_password"`
\set riverui `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_riverui_password"`
\set wal `cat "${PAYAID_SECRETS:-/run/secrets}/postgres_wal_password"`
ALTER ROLE postgres PASSWORD :'admin';
ALTER ROLE payaid_owner PASSWORD :'owner';
-- One of these two is in use, the other rests until the password is changed again.
ALTER ROLE payaid_service LOGIN PASSWORD :'service';
ALTER ROLE payaid_service_b LOGIN PASSWORD :'service';
ALTER ROLE payaid_backup PASSWORD :'backup';
ALTER ROLE payaid_riverui PASSWORD :'riverui';
ALTER ROLE payaid_wal PASSWORD :'wal';
