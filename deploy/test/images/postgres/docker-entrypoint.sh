#!/usr/bin/env bash
# Does what the official image's does for a first start: a cluster of POSTGRES_USER with the password of
# POSTGRES_PASSWORD or its _FILE, the database POSTGRES_DB, and the scripts of /docker-entrypoint-initdb.d, run
# against a server that only listens on its socket.
set -Eeuo pipefail

from_file() {
	local name=$1 file=$1_FILE
	[ -z "${!name:-}" ] || [ -z "${!file:-}" ] || { echo "both $name and $file are set" >&2; exit 1; }
	if [ -n "${!file:-}" ]; then
		printf -v "$name" %s "$(<"${!file}")"
	fi
	export "$name=${!name:-${2:-}}"
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown -R postgres "$PGDATA" /var/run/postgresql
	exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ -s "$PGDATA/PG_VERSION" ]; then
	exec "$@"
fi

from_file POSTGRES_PASSWORD
from_file POSTGRES_USER postgres
from_file POSTGRES_DB "$POSTGRES_USER"
[ -n "$POSTGRES_PASSWORD" ] || { echo "no password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2; exit 1; }
eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") ${POSTGRES_INITDB_ARGS:-}"
printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"

export PGPASSWORD=$POSTGRES_PASSWORD
pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
if [ "$POSTGRES_DB" != postgres ]; then
	echo 'CREATE DATABASE :"db";' | psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d postgres --set db="$POSTGRES_DB"
fi
for file in /docker-entrypoint-initdb.d/*; do
	case $file in
	*.sh)
		if [ -x "$file" ]; then
			"$file"
		else
			# shellcheck disable=SC1090 # the official image sources these as well
			. "$file"
		fi
		;;
	*.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file" ;;
	esac
done
pg_ctl -D "$PGDATA" -m fast -w stop
unset PGPASSWORD
exec "$@"
