#!/usr/bin/env bash
# Fetches the verifier of Standard Webhooks for Node.js, by the specification's authors, for the tests, and keeps it in the
# cache with the two packages that it needs. They come from npm's registry with checksums that stand here, and none of
# their scripts is run. What is there already is left alone.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
target=$cache/standardwebhooks-1.1.1

# package, version, SHA-512 of what is fetched
packages="
standardwebhooks 1.1.1 6c26d7f5913216458fb11cfb065dcdb90509a219b01927afff286beef85a18f95ce007c8aeca4845ae9c3d306e23522d9ab4c327877f4b6842b1f7b8faf4069d
@stablelib/base64 1.0.1 d5b9cf42a4b14ae737222e8c841caca160a0e7c8fdeda523b82499ac64a60f136ab72b488b493cbad51e9c0c1364de15e665d7606b15508f73781ab2fa304e49
fast-sha256 1.3.0 9f5d5118ffe5ad610523f6d677280bc6123ea557a8d59608570bef3e45bb6b397facecbe1771d8459d8ae73784f669a4850a69caff6c405c7424cf5469b9e93d
"

# One at a time: two makes would get in each other's way.
mkdir -p "$cache"
exec 9>"$cache/standardwebhooks.lock"
flock 9

[ -e "$target" ] && exit 0
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
	echo "webhooks.sh: install npm and Node.js first" >&2
	exit 1
fi

work=$(mktemp -d "$cache/standardwebhooks.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "$packages" | while read -r package version sum; do
	[ -n "$package" ] || continue
	file=$(npm pack --silent "$package@$version")
	echo "$sum  $file" | sha512sum --check --quiet
	mkdir -p "tree/node_modules/$package"
	tar -xzf "$file" --strip-components=1 -C "tree/node_modules/$package"
	rm "$file"
done
node -e 'new (require("./tree/node_modules/standardwebhooks").Webhook)("whsec_c2VjcmV0")'
mv tree "$target" # under its name only when it is complete
