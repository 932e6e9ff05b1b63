#!/usr/bin/env bash
# Puts the load profile of deploy/load/load.js on an installation of its own, on this machine alone, and ends with a
# status other than 0 where a threshold is crossed or a job is lost.
#
#   LOAD_DURATION   seconds of each of the four stages (30)
#   LOAD_CONTACTS   contacts of the organization that is asked about; twice as many deals, as many invoices (2000)
#   LOAD_THROUGH    nginx: through deploy/nginx by TLS, as strangers come; api: straight to the API. Without it nginx is
#                   taken where there is one: scripts/nginx.sh fetches it
#   LOAD_TARGET     another installation, https://crm.example.in, with LOAD_KEY, the key of an organization that the load
#                   may fill with contacts and jobs. Nothing is started here then. Its limits of requests count
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${LOAD_DURATION:-30}
if ! [[ $duration =~ ^[0-9]+$ ]] || ((duration < 5 || duration > 600)); then
	echo "LOAD_DURATION: want a whole number of seconds from 5 to 600, got $duration" >&2
	exit 2
fi

version=v1.8.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
k6=$cache/k6-${version#v}/k6
if [ ! -x "$k6" ]; then
	echo "building k6 $version, once: some minutes" >&2
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/k6.XXXXXX")
	GOBIN=$work GOFLAGS='' go install "go.k6.io/k6@$version"
	mkdir -p "$(dirname "$k6")"
	mv "$work/k6" "$k6"
	rmdir "$work"
fi

data=$(mktemp -d "${TMPDIR:-/tmp}/payaid-load-XXXXXX")
chmod 711 "$data" # Postgres runs as another user where root starts it
started=()
# shellcheck disable=SC2317 # the trap calls it
finish() {
	status=$?
	for ((i = ${#started[@]} - 1; i >= 0; i--)); do
		kill -TERM "${started[i]}" 2>/dev/null || true
		wait "${started[i]}" 2>/dev/null || true
	done
	# 99 is k6's word for a threshold that was crossed: then all else went well.
	if [ "$status" != 0 ] && [ "$status" != 99 ] && [ -s "$data/up.log" ]; then
		echo "the last words of the installation:" >&2
		grep -v 'admin key' "$data/up.log" | tail -n 20 >&2
	fi
	rm -rf "$data"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

free() {
	local port
	while port=$((20000 + RANDOM % 10000)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# An installation with an organization that has records.
own() {
	local api
	api=127.0.0.1:$(free)
	env -u DATABASE_URL -u REDIS_URL -u NATS_URL -u SMTP_HOST -u PUBLIC_URL RATELIMIT_ENABLED=false OLLAMA_URL=http://127.0.0.1:1 \
		AI_RULES_FALLBACK=true TRUSTED_PROXIES=127.0.0.1 LOG_LEVEL=warn \
		bin/payaid up --data "$data/up" --listen "$api" >"$data/up.log" 2>&1 &
	started+=($!)
	for ((i = 0; i < 600; i++)); do
		bin/payaid healthcheck --listen "$api" >/dev/null 2>&1 && break
		kill -0 "${started[0]}" 2>/dev/null || { echo "the installation has ended" >&2; return 1; }
		sleep 0.2
	done
	bin/payaid seed --data "$data/up" --contacts "${LOAD_CONTACTS:-2000}" --deals $((2 * ${LOAD_CONTACTS:-2000})) \
		--invoices "${LOAD_CONTACTS:-2000}" --name Load --keys >"$data/seed.log"
	key=$(grep -o 'pay_[A-Za-z0-9_-]*' "$data/seed.log" | head -n 1)
	target=http://$api
	through="straight to the API"
	through_nginx "$api"
}

# nginx before it, as deploy/compose.yaml has it, but for the limits of one address.
through_nginx() {
	local nginx=$cache/nginx/nginx etc=$data/etc
	[ -x "$nginx" ] || nginx=$(command -v nginx || true)
	case ${LOAD_THROUGH:-} in
	api) return ;;
	nginx) [ -n "$nginx" ] || { echo "there is no nginx: run scripts/nginx.sh" >&2; return 1; } ;;
	*) [ -n "$nginx" ] && command -v openssl >/dev/null || return 0 ;;
	esac
	mkdir -p "$etc/conf.d" "$etc/certificates"
	cp -r deploy/nginx/nginx.conf deploy/nginx/parts "$etc/"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 1 \
		-keyout "$etc/certificates/privkey.pem" -out "$etc/certificates/fullchain.pem" 2>/dev/null
	local https health
	https=127.0.0.1:$(free)
	health=127.0.0.1:$(free)
	# shellcheck disable=SC2016
	sed -e 's/${EDGE_NAME}/localhost/' -e "s/\${EDGE_HTTP}/127.0.0.1:$(free)/" -e "s/\${EDGE_HTTPS}/$https/" -e "s/\${EDGE_HEALTH}/$health/" \
		-e "s/\${EDGE_API}/$1/" -e 's/${EDGE_RESOLVER}/127.0.0.1/' -e "s|\${EDGE_ACME}|$data|" -e 's/${EDGE_RATE}/100000r\/s/' \
		-e 's/${EDGE_BURST}/100000/' -e 's/${EDGE_CONNECTIONS}/10000/' deploy/nginx/templates/edge.conf.template >"$etc/conf.d/edge.conf"
	for part in client_body proxy fastcgi uwsgi scgi; do echo "${part}_temp_path $data/$part;"; done >"$etc/conf.d/paths.conf"
	"$nginx" -p "$data" -c "$etc/nginx.conf" -g "daemon off; pid $data/nginx.pid;" >"$data/nginx.log" 2>&1 &
	started+=($!)
	for ((i = 0; i < 100; i++)); do
		(exec 3<>"/dev/tcp/${health/://}") 2>/dev/null && break
		kill -0 "${started[1]}" 2>/dev/null || { cat "$data/nginx.log" >&2; return 1; }
		sleep 0.1
	done
	target=https://$https
	through="through nginx, by TLS"
}

if [ -n "${LOAD_TARGET:-}" ]; then
	target=$LOAD_TARGET
	key=${LOAD_KEY:?is the key of an organization that the load may fill}
	through="at the operator's word"
else
	own
fi

echo "load: $target ($through), four stages of $duration s on $(nproc) processors, load average $(cut -d' ' -f1-3 /proc/loadavg)"
status=0
TARGET=$target KEY=$key LOAD_DURATION=$duration LOAD_TARGET=${LOAD_TARGET:-} LOAD_VERDICT=$data/verdict.json \
	"$k6" run --quiet --no-usage-report --address '' deploy/load/load.js || status=$?
echo "load average at the end $(cut -d' ' -f1-3 /proc/loadavg)"
grep -q '"lost":0' "$data/verdict.json" 2>/dev/null || status=1
exit "$status"
