#!/usr/bin/env bash
# Keeps promtool, which checks and tests the alert rules, in the cache. It is in Debian's package of Prometheus, which
# would start a server of its own when it is installed; so the package is only unpacked.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
target=$cache/promtool/promtool

if command -v promtool >/dev/null || [ -x "$target" ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	echo "promtool.sh: put promtool, of Prometheus 2.42 or newer, into the PATH first" >&2
	exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads as a user of its own
cd "$work"
apt-get download prometheus || { apt-get update && apt-get download prometheus; }
dpkg -x prometheus_*.deb unpacked
mkdir -p "$(dirname "$target")"
mv unpacked/usr/bin/promtool "$target.new"
mv "$target.new" "$target"
