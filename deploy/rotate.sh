#!/usr/bin/env bash
# Changes a secret while all goes on: ./rotate.sh NAME. Where a server can take two at a time it takes both, until every
# process has the new one.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
	cat <<'TEXT'
Usage: ./rotate.sh NAME

  admin_key          the admin's key; whoever signed in with the old one signs in again
  postgres_service   the login of api, relay and workers: another takes its place
  postgres_owner     the login that owns the tables (migrations)
  postgres_backup    the login of backups
  postgres_riverui   the login of River's own pages
  postgres_wal       the login of the copy of the log
  postgres           the superuser, whom nothing uses
  redis, nats        the password of all processes
  smtp_pass          the mail account noreply@ of the mail server beside; mails wait for some seconds
  grafana, riverui   who looks at them
  groq_api_key       by what comes on standard input
  backup_age_identity, backup_s3_access_key, backup_s3_secret_key, backup_ping_url   the same
  certificates       take new files from secrets/certificates, after ./init.sh --tls files …

What breaks off is repeated with the same NAME, and goes on. Keys of organizations are their own: payaid keys create, then
revoke. docs: RUNBOOK.md
TEXT
}

fail() {
	echo "rotate.sh: $*" >&2
	exit 1
}

everyone="relay worker-cache worker-webhook worker-mail worker-ai worker-maintenance api"

password() { openssl rand -hex 24; }

# setting NAME: its value in .env, "" without one.
setting() { sed -n "s/^$1=//p" .env | tail -n 1; }

# may_put NAME…: whether these can be replaced, which is to be known before a server is told of a new one.
may_put() {
	local name
	for name; do
		[ -e "secrets/$name" ] || fail "there is no secrets/$name: run ./init.sh first"
		[ -w "secrets/$name" ] || chmod u+w "secrets/$name" 2>/dev/null || fail "secrets/$name is not yours to change: run this as who ran ./init.sh"
	done
}

# put NAME: what comes in replaces the secret, in its file, so that whose it is and who may read it stays.
put() {
	may_put "$1"
	local new
	new=$(cat)
	[ -n "$new" ] || fail "nothing came for secrets/$1, which stays as it is"
	printf '%s\n' "$new" >"secrets/$1"
}

# given NAME: the new secret, from standard input, of which all lines count, as keys of age have several.
given() {
	local new=''
	if [ -t 0 ]; then read -r -s -p "new $1: " new && echo >&2; else new=$(cat); fi
	[ -n "$new" ] || fail "nothing came on standard input for $1"
	printf '%s' "$new"
}

# Passwords come this way: neither the log nor the statistics of statements keep them.
sql() {
	{
		echo "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET pg_stat_statements.track = 'none';"
		cat
	} | docker compose exec -T postgres psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -U postgres -d payaid
}

# begin NAME WORDS: prints the old password, the new one, and the words. They are noted until the rotation ends: one that
# broke off has left some with the new password and some with the old, and goes on, as a third would cut either off. A note of
# which the present password is neither is of another time.
begin() {
	local mark=secrets/.rotating-$1 now old='' new='' words=''
	now=$(cat "secrets/$1_password")
	[ ! -s "$mark" ] || read -r old new words <"$mark"
	if [ -n "$new" ] && { [ "$now" = "$old" ] || [ "$now" = "$new" ]; }; then
		echo "rotate.sh: what was begun at $(date -r "$mark" '+%F %T') goes on; for yet another secret, run this once more afterwards" >&2
	else
		old=$now new=$(password) words=$2
		(umask 077 && printf '%s\n' "$old $new $words" >"$mark.new")
		mv "$mark.new" "$mark"
	fi
	echo "$old $new $words"
}

end() { rm "secrets/.rotating-$1"; }

# login ROLE FILE…: gives a role a new password, and writes it down; the files are those that the caller makes of it.
login() {
	local new
	may_put "postgres_$1_password" "${@:2}"
	new=$(password)
	printf "ALTER ROLE payaid_%s PASSWORD '%s';\n" "$1" "$new" | sql
	put "postgres_$1_password" <<<"$new"
}

address() { # of the database, for a login with the password in a file
	echo "postgres://$1:$(cat "secrets/$2")@postgres:5432/payaid?sslmode=disable"
}

# recreate SERVICE: for those that can't run twice, if they run at all.
recreate() {
	[ -z "$(docker compose ps -q "$1")" ] || docker compose up -d --no-deps --no-build --force-recreate --wait "$1"
}

# Who is connected by the old login would be refused a new connection while its password changes, so there are two logins,
# which take turns.
postgres_service() {
	local settled now=payaid_service next=payaid_service_b new
	may_put postgres_service_password database_url
	! grep -q '//payaid_service_b:' secrets/database_url || { now=payaid_service_b next=payaid_service; }
	settled=$(begin postgres_service "$now $next")
	read -r _ new now next <<<"$settled"
	sql <<-SQL
		DO \$\$ BEGIN CREATE ROLE $next LOGIN NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
		ALTER ROLE $next LOGIN PASSWORD '$new';
		GRANT payaid_app, payaid_system TO $next;
		GRANT CONNECT ON DATABASE payaid TO $next;
	SQL
	put postgres_service_password <<<"$new"
	address "$next" postgres_service_password | put database_url
	# shellcheck disable=SC2086 # one word for each service
	./roll.sh $everyone
	echo "ALTER ROLE $now NOLOGIN PASSWORD NULL;" | sql
	end postgres_service
}

redis() {
	local settled old new
	may_put redis_password redis_auth redis_url
	settled=$(begin redis '')
	read -r old new <<<"$settled"
	redis_cli() { docker compose exec -T -e REDISCLI_AUTH="$1" redis redis-cli -h 127.0.0.1 ACL SETUSER default "$2" | grep -qx OK; }
	# One that was started since a rotation broke off knows the new password alone.
	redis_cli "$old" ">$new" || redis_cli "$new" ">$old" || fail "Redis does not take a second password"
	put redis_password <<<"$new"
	put redis_auth <<<"requirepass $new"
	put redis_url <<<"redis://:$new@redis:6379/0"
	# shellcheck disable=SC2086 # one word for each service
	./roll.sh $everyone
	redis_cli "$new" "<$old" || fail "Redis still takes the old password as well: docker compose restart redis"
	end redis
}

nats() {
	local settled old new now next
	may_put nats_password nats_auth nats_url
	now=$(nats_user)
	settled=$(begin nats "$now $(nats_next "$now")")
	# The user's name is the mark of a login: one user can't have two passwords.
	read -r old new now next <<<"$settled"
	put nats_auth <<<"authorization { users: [ { user: $now, password: \"$old\" }, { user: $next, password: \"$new\" } ] }"
	nats_reads
	put nats_url <<<"nats://$next:$new@nats:4222"
	put nats_password <<<"$new"
	# shellcheck disable=SC2086 # one word for each service
	./roll.sh $everyone
	put nats_auth <<<"authorization { users: [ { user: $next, password: \"$new\" } ] }"
	nats_reads
	end nats
}

nats_user() { sed -n 's|^nats://\([^:]*\):.*|\1|p' secrets/nats_url; }

nats_next() { if [ "$1" = payaid ]; then echo payaid_b; else echo payaid; fi; }

# From inside: `docker kill`, whatever its signal, counts as an order to stop, and a container that dies is left alone then.
nats_reads() { docker compose exec -T nats sh -c 'kill -HUP 1'; }

smtp_pass() {
	local new accounts=secrets/mail/postfix-accounts.cf who host user
	who=$(sed -n 's/^\(noreply@[^|]*\)|.*/\1/p' $accounts)
	host=$(setting SMTP_HOST) user=$(setting SMTP_USER)
	if [ -z "$who" ] || [ "${host:-$(setting MAIL_HOSTNAME)}" != "$(setting MAIL_HOSTNAME)" ] || [ "${user:-$who}" != "$who" ]; then
		fail "mails go by ${user:-a login} at ${host:-another server} (SMTP_… in .env), whose password is not made here: change it there, write it down (cat >secrets/smtp_pass), then ./roll.sh worker-mail"
	fi
	may_put smtp_pass mail/postfix-accounts.cf
	new=$(password)
	put smtp_pass <<<"$new"
	{
		printf '%s|{SHA512-CRYPT}%s\n' "$who" "$(openssl passwd -6 -stdin <<<"$new")"
		grep -vF "$who|" $accounts || true
	} >$accounts.new
	cat $accounts.new >$accounts
	rm $accounts.new
	./roll.sh worker-mail
}

[ -f .env ] || fail "there is no .env here: run ./init.sh first"
{ [ -r .env ] && [ -x secrets ] && [ -w secrets ]; } || fail "secrets/ is not yours to change: run this as who ran ./init.sh"
[ $# = 1 ] || {
	usage >&2
	exit 2
}
case $1 in
admin_key)
	password | put admin_key
	./roll.sh api
	;;
postgres_service) postgres_service ;;
postgres_owner)
	login owner database_owner_url
	address payaid_owner postgres_owner_password | put database_owner_url
	;;
postgres_backup)
	login backup backup_database_url
	address payaid_backup postgres_backup_password | put backup_database_url
	./roll.sh worker-maintenance
	;;
postgres_riverui)
	login riverui riverui_pgpass
	echo "postgres:5432:*:payaid_riverui:$(cat secrets/postgres_riverui_password)" | put riverui_pgpass
	recreate riverui
	;;
postgres_wal)
	login wal
	recreate pitr
	;;
postgres)
	may_put postgres_password
	new=$(password)
	echo "ALTER ROLE postgres PASSWORD '$new';" | sql
	put postgres_password <<<"$new"
	;;
redis) redis ;;
nats) nats ;;
smtp_pass) smtp_pass ;;
grafana)
	password | put grafana_password
	docker compose exec -T grafana sh -c 'grafana cli --homepath /usr/share/grafana admin reset-admin-password "$(cat /run/secrets/grafana_password)"'
	;;
riverui)
	password | put riverui_password
	recreate riverui
	;;
groq_api_key)
	given "$1" | put "$1"
	./roll.sh worker-ai
	;;
backup_age_identity | backup_s3_access_key | backup_s3_secret_key | backup_ping_url)
	given "$1" | put "$1"
	./roll.sh worker-maintenance
	;;
certificates)
	docker compose exec -T nginx nginx -t
	docker compose exec -T nginx nginx -s reload
	;;
-h | --help) usage ;;
*)
	usage >&2
	fail "there is no secret $1"
	;;
esac
