#!/usr/bin/env bash
# Puts other images in the place of those that run, while all goes on:
#   ./upgrade.sh payaid:1.5.0 payaid-backup:1.5.0     # the program; the program beside pg_dump
#   ./upgrade.sh --back                               # those that ran before, on the schema as it is
# A backup is made and restored for a try, migrations are applied while the old processes run, then each service gets
# as many new containers as it has old ones, and the old are stopped when the new are healthy. Whatever fails ends it
# there, with the old containers still at work.
set -euo pipefail
cd "$(dirname "$0")"

# Compose would take these from the shell first, and bring in nothing new.
unset PAYAID_IMAGE PAYAID_BACKUP_IMAGE

services="relay worker-cache worker-webhook worker-mail worker-ai worker-maintenance api"

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() { echo "upgrade.sh: $*" >&2; exit 1; }

# Puts a variable into .env, in one step.
set_to() {
	grep -v "^$1=" .env >.env.new || true
	printf '%s=%s\n' "$1" "$2" >>.env.new
	chmod --reference=.env .env.new
	mv .env.new .env
}

# The image that a service runs.
running() {
	local container
	container=$(docker compose ps -q "$1" | head -n 1)
	[ -n "$container" ] || fail "no container of $1 runs: start it first (docker compose up -d --wait)"
	docker inspect --format '{{.Image}}' "$container"
}

version_of() { docker run --rm --network none "$1" version; }

# Gives an image a name under which it stays, unless it is the new one already.
keep() { # image, name, the new image
	[ "$1" = "$(docker image inspect --format '{{.Id}}' "$3")" ] || docker tag "$1" "$2"
}

# Notes where the way back leads. While two versions run, a try has ended halfway, and the way back is noted already: it leads
# to what was there before that try.
note() {
	local api maintenance one two
	api=$(running api)
	maintenance=$(running worker-maintenance)
	one=$(version_of "$api")
	two=$(version_of "$maintenance")
	if [ "$one" != "$two" ]; then
		say "api runs $one and worker-maintenance $two: --back still leads to what ran before that upgrade"
		return
	fi
	keep "$api" payaid:previous "$program"
	keep "$maintenance" payaid-backup:previous "$backup"
}

[ -f .env ] || fail "there is no .env here: run ./init.sh first"
case ${1-} in
--back)
	[ $# = 1 ] || fail "--back takes nothing besides"
	docker image inspect payaid:previous payaid-backup:previous >/dev/null 2>&1 || fail "nothing is known of an earlier upgrade: name the images"
	docker tag payaid:previous payaid:back
	docker tag payaid-backup:previous payaid-backup:back
	program=payaid:back backup=payaid-backup:back
	;;
"" | -*)
	fail "name the two images, as in ./upgrade.sh payaid:1.5.0 payaid-backup:1.5.0, or --back"
	;;
*)
	[ $# = 2 ] || fail "name the two images: the program, and the program beside pg_dump"
	program=$1 backup=$2
	for image in "$program" "$backup"; do
		docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" || fail "there is no image $image"
	done
	;;
esac

new=$(version_of "$program") || fail "$program does not run"
[ "$(version_of "$backup")" = "$new" ] || fail "$program is $new, and $backup another version"
if [ "${1-}" != --back ]; then
	note
	say "a backup, restored for a try"
	docker compose exec -T worker-maintenance payaid backup now --verify
fi
set_to PAYAID_IMAGE "$program"
set_to PAYAID_BACKUP_IMAGE "$backup"
if [ "${1-}" != --back ]; then
	say "migrations to $new"
	docker compose run --rm --no-deps migrate || fail "migrations were not applied; the old processes go on. Mend what it says and repeat, or ./upgrade.sh --back"
fi
# shellcheck disable=SC2086 # one word for each service
./roll.sh $services || fail "not all run $new: mend it and repeat, or ./upgrade.sh --back"
say "all runs $new"
