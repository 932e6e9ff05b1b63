#!/usr/bin/env bash
# Makes the images of everything that the compose file runs beside PayAid, without a registry of images: Debian's
# packages on a system that debootstrap made, and what the repository's scripts build. Their names are
# payaid-test/NAME. Also payaid-test/golang, on which deploy/Dockerfile builds. What is there already is quick.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

eval "$("$here/engine.sh" env)"
export DOCKER_BUILDKIT=0

# Image NAME of the folder FROM.
build() {
	echo "image payaid-test/$1"
	# The host's network: the engine has no packet filter that would let containers out.
	docker build --quiet --network host --tag "payaid-test/$1" "$2" >/dev/null
}

if ! docker image inspect payaid-test/base:bookworm >/dev/null 2>&1; then
	if ! command -v debootstrap >/dev/null; then
		apt-get update
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends debootstrap
	fi
	echo "image payaid-test/base, which takes some minutes"
	debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" >"$work/log" ||
		{ tail "$work/log" >&2; exit 1; }
	rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
	tar -C "$work/base" -c . | docker import - payaid-test/base:bookworm >/dev/null
	rm -rf "$work/base"
fi

for name in postgres redis nginx mail; do
	build "$name" "$here/images/$name"
done

cp -r "$here/images/nats" "$work/nats"
(cd "$root" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/nats/nats-server" github.com/nats-io/nats-server/v2)
build nats "$work/nats"

"$root/scripts/ollama.sh" >/dev/null
cp -r "$here/images/ollama" "$work/ollama"
cp "$cache"/ollama-*/ollama "$work/ollama/ollama"
(cd "$root" && go run ./internal/localstack/tinygguf/tinygguf -o "$work/ollama/tiny.gguf")
(cd "$root" && go run ./internal/localstack/tinygguf/tinygguf -layers 40 -endless -o "$work/ollama/slow.gguf")
build ollama "$work/ollama"

mkdir "$work/golang"
cp "$here/images/golang/Dockerfile" "$work/golang/"
cp -r "$(go env GOROOT)" "$work/golang/go"
# Whom this machine trusts: the module proxy may be reached through something of its own.
cp /etc/ssl/certs/ca-certificates.crt "$work/golang/"
build golang "$work/golang"
