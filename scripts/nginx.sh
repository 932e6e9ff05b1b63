#!/usr/bin/env bash
# Keeps two nginx in the cache for the tests: the one that the files in deploy/nginx are for, and Debian's older one. Their
# packages would start servers of their own when they are installed; so they are only unpacked. The new one is of the suite
# that becomes the next Debian, and brings its own libraries.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# One at a time: two makes would get in each other's way.
mkdir -p "$cache"
exec 9>"$cache/nginx.lock"
flock 9

[ -x "$cache/nginx/nginx" ] && [ -x "$cache/nginx-old/nginx" ] && exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null || [ ! -e "$keyring" ]; then
	echo "nginx.sh: put nginx 1.27.3 or newer into the PATH first" >&2
	exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads as a user of its own

old() (
	mkdir "$work/old"
	chmod 777 "$work/old"
	cd "$work/old"
	apt-get download nginx || { apt-get update && apt-get download nginx; }
	dpkg -x nginx_*.deb unpacked
	rm -rf "$cache/nginx-old"
	mkdir "$cache/nginx-old"
	mv unpacked/usr/sbin/nginx "$cache/nginx-old/nginx"
)

new() (
	mkdir -p "$work/new/lists/partial" "$work/new/archives/partial" "$work/new/debs" "$work/new/files"
	chmod -R 777 "$work/new"
	cd "$work/new"
	# From wherever this machine has Debian from.
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian main //p' | head -n 1)
	echo "deb [signed-by=$keyring] ${mirror:?apt knows of no Debian} forky main" >sources.list
	apt=(apt-get -o "Dir::Etc::SourceList=$work/new/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::State::Lists=$work/new/lists" -o "Dir::Cache=$work/new"
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none -o Acquire::Retries=3)
	"${apt[@]}" update
	cd debs
	"${apt[@]}" download nginx/forky libc6/forky libcrypt1/forky libpcre2-8-0/forky libssl3t64/forky libzstd1/forky zlib1g/forky
	for file in *.deb; do dpkg -x "$file" ../unpacked; done
	cd ..
	find unpacked/usr/lib -maxdepth 2 -name '*.so*' -exec cp -a {} files/ \;
	cp unpacked/usr/sbin/nginx files/nginx.bin
	loader=$(basename files/ld-linux*)
	# shellcheck disable=SC2016
	printf '#!/bin/sh\nhere=$(dirname "$0")\nexec "$here/%s" --library-path "$here" "$here/nginx.bin" "$@"\n' "$loader" >files/nginx
	chmod 755 files/nginx
	chmod 755 files
	files/nginx -v # before it is taken
	rm -rf "$cache/nginx"
	mv files "$cache/nginx"
)

[ -x "$cache/nginx-old/nginx" ] || old
[ -x "$cache/nginx/nginx" ] || new
