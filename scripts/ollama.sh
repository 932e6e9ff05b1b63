#!/usr/bin/env bash
# Builds a real Ollama for the tests, from the Go module proxy and Debian packages,
# and keeps it in the cache: the first time takes about ten minutes on two cores,
# after that this does nothing.
set -euo pipefail

version=0.17.4
malgo_version=v0.11.24
cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
target=$cache/ollama-$version/ollama

if [ -x "$target" ]; then
	echo "ollama $version is there: $target"
	exit 0
fi

# Ollama's module leaves out its vendor/ folder, and with it three C++ headers.
# Two of them are in Debian, the third is part of a Go module.
headers_missing() {
	for header in nlohmann/json.hpp stb/stb_image.h; do
		[ -e "/usr/include/$header" ] || return 0
	done
	! command -v g++ >/dev/null
}
if headers_missing; then
	packages="g++ nlohmann-json3-dev libstb-dev"
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "ollama.sh: install these packages first: $packages" >&2
		exit 1
	fi
	apt-get update
	# shellcheck disable=SC2086 # one word for each package
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Outside of any module: what is built here has nothing to do with our go.mod.
cd "$work"

malgo=$(go mod download -json "github.com/gen2brain/malgo@$malgo_version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
if [ ! -e "$malgo/miniaudio.h" ]; then
	echo "ollama.sh: malgo $malgo_version has no miniaudio.h in '$malgo'" >&2
	exit 1
fi
# In a place that stays the same, because the path is part of Go's build cache key.
include=$cache/ollama-$version/include
mkdir -p "$include/miniaudio" "$(dirname "$target")"
ln -sf "$malgo/miniaudio.h" "$include/miniaudio/miniaudio.h"

# The vector instructions that any processor of the last ten years has make the
# model several times faster.
cflags=-O2
if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && grep -qw f16c /proc/cpuinfo; then
	cflags="$cflags -march=x86-64-v3"
fi

echo "building ollama $version, which takes some minutes"
CGO_ENABLED=1 GOWORK=off \
	CGO_CPPFLAGS="-I$include" CGO_CFLAGS="$cflags" CGO_CXXFLAGS="$cflags" \
	GOBIN=$work/bin go install \
	-ldflags "-s -w -X github.com/ollama/ollama/version.Version=$version" \
	"github.com/ollama/ollama@v$version"

# Under its name only when it is complete.
mv "$work/bin/ollama" "$target.new"
mv "$target.new" "$target"
echo "built $target"
