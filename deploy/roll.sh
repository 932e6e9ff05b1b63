#!/usr/bin/env bash
# Replaces the containers of services: ./roll.sh api worker-ai. As many new ones are started as there are old ones, and the
# old are stopped, in their own time, when the new are healthy. No job fails. A request that reaches an API just as it ends is
# answered 503 with Retry-After, which is rare, and safe to repeat with its Idempotency-Key. A service that isn't there is
# passed over. For services that may run side by side: api, relay and the workers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

roll() {
	local service=$1 old new container
	old=$(docker compose ps -q "$service")
	[ -n "$old" ] || return 0
	echo "$(date +%T)  $service: new ones"
	if ! docker compose up -d --no-deps --no-build --no-recreate --scale "$service=$((2 * $(wc -l <<<"$old")))" \
		--wait --wait-timeout 120 "$service" >/dev/null 2>&1; then
		new=$(docker compose ps -aq "$service" | grep -vxF "$old" || true)
		for container in $new; do docker logs --tail 20 "$container" >&2; done
		# shellcheck disable=SC2086 # one word for each container
		[ -z "$new" ] || docker rm --force --volumes $new >/dev/null
		echo "roll.sh: the new containers of $service did not become healthy, and are gone; their last words are above. The old ones go on" >&2
		return 1
	fi
	echo "$(date +%T)  $service: the old ones end"
	# shellcheck disable=SC2086 # one word for each container
	{ docker stop $old && docker rm --volumes $old; } >/dev/null
}

for service; do
	case $service in
	api | relay | worker-*) ;;
	*)
		echo "roll.sh: $service can't run twice: docker compose up -d --force-recreate $service" >&2
		exit 2
		;;
	esac
done
for service; do roll "$service"; done
