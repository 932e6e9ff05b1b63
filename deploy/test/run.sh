#!/usr/bin/env bash
# make deploytest: the whole of deploy/compose.yaml by a real engine, as it is shipped.
#
# KEEP=1 leaves the stack and the engine running; deploy/test/engine.sh clean removes all of it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

compose=$("$here/compose.sh")
"$here/engine.sh" start
eval "$("$here/engine.sh" env)"
mkdir -p "$DOCKER_CONFIG/cli-plugins"
ln -sf "$compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"
"$here/images.sh"

echo "image payaid, which takes some minutes"
build() {
	docker build --quiet --network host --file "$root/deploy/Dockerfile" --build-arg GO_IMAGE=payaid-test/golang \
		--build-arg POSTGRES_IMAGE=payaid-test/postgres --build-arg VERSION=one --target "$1" --tag "$2:one" "$root" >/dev/null
	# The next version: another image of the same program.
	echo "FROM $2:one
LABEL payaid.version=two" | docker build --quiet --tag "$2:two" - >/dev/null
}
build payaid payaid-test/payaid
build backup payaid-test/payaid-backup

# The stages in between, and what an earlier build has left.
docker image prune --force >/dev/null

work=$(mktemp -d)
finish() {
	if [ -n "${KEEP:-}" ]; then
		echo "the stack is left in $work/deploy; to speak to it: eval \"\$($here/engine.sh env)\""
		return
	fi
	(cd "$work/deploy" && docker compose down --volumes --timeout 5) >/dev/null 2>&1 || true
	"$here/engine.sh" stop
	rm -rf "$work"
}
trap finish EXIT
cd "$root"
# What is in the repository, or will be: no secrets of somebody who runs the stack from here.
git ls-files --cached --others --exclude-standard deploy | tar -c -T - | tar -x -C "$work"
# The stack goes by its .env alone: Compose would take these from here first.
while read -r name; do unset "$name"; done < <(sed -n 's/^\([A-Z0-9_]*\)=.*/\1/p' deploy/.env.example)
DEPLOYTEST_DIR=$work go test -tags deploytest -count 1 -timeout 40m -v ./deploy/test
