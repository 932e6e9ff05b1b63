#!/usr/bin/env bash
# Keeps axe-core in the cache, which looks at the pages of the admin as people see them who see little, for the tests. It
# comes from npm's registry with a checksum that stands here, and none of its scripts is run. What is there is left alone.
set -euo pipefail

version=4.14.1
sum=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
target=$cache/axe-core-$version

# One at a time: two makes would get in each other's way.
mkdir -p "$cache"
exec 9>"$cache/axe-core.lock"
flock 9

[ -e "$target" ] && exit 0
if ! command -v npm >/dev/null; then
	echo "axe.sh: install npm first" >&2
	exit 1
fi

work=$(mktemp -d "$cache/axe-core.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
file=$(npm pack --silent "axe-core@$version")
echo "$sum  $file" | sha512sum --check --quiet
mkdir tree
tar -xzf "$file" --strip-components=1 -C tree package/axe.min.js package/LICENSE
mv tree "$target" # under its name only when it is complete
