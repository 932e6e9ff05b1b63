#!/usr/bin/env bash
# Makes the logins and the database when the data folder is new; the image's own entrypoint runs it, once, and
# 20-passwords.sql after it.
#
#   payaid_owner    owns the database and the tables: migrations. It may make roles, as the first of them does (where
#                   they are there already, that is asked for all the same); from Postgres 16 on no roles but its own
#   payaid_service  the processes; owns nothing, and becomes payaid_app or payaid_system (see the first migration)
#   payaid_service_b  the same; with each new password the two take turns, and a folder that is made anew later has
#                   whichever it is that the processes were given
#   payaid_backup   sees all rows, makes databases, and installs in them what only a superuser may: backups and
#                   their verification, which also looks into indexes (amcheck)
#   payaid_riverui  River's own pages, if that profile is used
#   payaid_wal      a copy of the log, if the profile pitr is used
set -euo pipefail

psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE payaid_app NOLOGIN;
CREATE ROLE payaid_system NOLOGIN;
-- So that sessions, and what is slow, have their names on the admin's pages.
GRANT pg_read_all_stats TO payaid_system;

CREATE ROLE payaid_owner LOGIN CREATEDB CREATEROLE;
GRANT payaid_app, payaid_system TO payaid_owner WITH ADMIN OPTION;
CREATE ROLE payaid_service LOGIN NOINHERIT;
CREATE ROLE payaid_service_b LOGIN NOINHERIT;
GRANT payaid_app, payaid_system TO payaid_service, payaid_service_b;
CREATE ROLE payaid_backup LOGIN SUPERUSER;
CREATE ROLE payaid_riverui LOGIN NOINHERIT CONNECTION LIMIT 10;
GRANT payaid_system TO payaid_riverui;
ALTER ROLE payaid_riverui SET role = 'payaid_system';
CREATE ROLE payaid_wal LOGIN REPLICATION CONNECTION LIMIT 4;

CREATE DATABASE payaid OWNER payaid_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE CONNECT, TEMPORARY ON DATABASE payaid FROM PUBLIC;
GRANT CONNECT ON DATABASE payaid TO payaid_service, payaid_service_b, payaid_riverui;
\connect payaid
CREATE EXTENSION pg_stat_statements;
SQL

# The image lets logins in by password from everywhere; copies of the log are a case of their own.
echo 'host replication payaid_wal all scram-sha-256' >>"$PGDATA/pg_hba.conf"
