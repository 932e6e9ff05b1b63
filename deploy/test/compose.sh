#!/usr/bin/env bash
# Builds the Compose plugin from its module and keeps it in the cache: a quarter of an hour the first time on two
# cores, nothing after that. Prints where it is.
set -euo pipefail

version=2.40.3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
target=$cache/docker-compose-$version/docker-compose

if [ ! -x "$target" ]; then
	echo "building docker compose $version, which takes some minutes" >&2
	mkdir -p "$(dirname "$target")"
	work=$(mktemp -d)
	trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
	cd "$work" # outside of any module
	module=$(go mod download -json "github.com/docker/compose/v2@v$version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	# Its go.mod leaves versions out (exclude), so that it can't be installed by name, and is built where it is.
	cp -r "$module" source
	chmod -R u+w source
	cd source
	CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=mod go build -trimpath \
		-ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=v$version" -o "$target.new" ./cmd
	mv "$target.new" "$target"
fi
echo "$target"
