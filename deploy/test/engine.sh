#!/usr/bin/env bash
# Runs a Docker engine of its own, beside any that the machine may have and without installing one: Debian's
# packages are only unpacked into the cache. Images, containers and volumes are in a folder of its own, and
# nothing but processes that it started is ever ended.
#
#	engine.sh start     start it, if it doesn't run yet
#	engine.sh stop      end it, and with it all of its containers
#	engine.sh clean     end it and delete what it kept
#	engine.sh env       what to export to speak to it
set -euo pipefail

packages="docker.io containerd runc tini libdevmapper1.02.1 iptables libip4tc2 libip6tc2 libxtables12 libnetfilter-conntrack3 libnfnetlink0 libmnl0 libnftnl11"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/payaid
unpacked=$cache/docker-engine
state=${PAYAID_ENGINE_STATE:-/var/lib/payaid-engine-test}
pidfile=$state/dockerd.pid
socket=$state/docker.sock

give_up() {
	echo "engine.sh: $1" >&2
	exit 1
}

# Unpacks the packages; under their name only when all of them are there.
fetch() {
	[ -x "$unpacked/usr/sbin/dockerd" ] && return
	command -v apt-get >/dev/null || give_up "it takes the engine from Debian's packages, and there is no apt-get"
	mkdir -p "$cache"
	local work
	work=$(mktemp -d "$cache/docker-engine.XXXXXX")
	chmod 755 "$work" # apt fetches as another user
	(
		cd "$work"
		# shellcheck disable=SC2086 # one word for each package
		apt-get -qq download $packages 2>/dev/null || { apt-get -qq update && apt-get -qq download $packages; }
		for package in *.deb; do
			dpkg -x "$package" root
		done
		# What the packages would do when they are installed.
		ln -s xtables-legacy-multi root/usr/sbin/iptables
		ln -s xtables-legacy-multi root/usr/sbin/ip6tables
	)
	rm -rf "$unpacked"
	mv "$work/root" "$unpacked"
	rm -rf "$work"
}

running() {
	[ -s "$pidfile" ] && [ "$(cat "/proc/$(cat "$pidfile")/comm" 2>/dev/null)" = dockerd ]
}

speak() {
	DOCKER_HOST=unix://$socket DOCKER_CONFIG=$state/config "$unpacked/usr/bin/docker" "$@"
}

start() {
	[ "$(id -u)" = 0 ] || give_up "a Docker engine needs root"
	fetch
	if running; then
		echo "the engine runs: pid $(cat "$pidfile")"
		return
	fi
	mkdir -p "$state/config"
	rm -f "$pidfile"
	echo '{}' >"$state/config.json"
	# The packet filter of this machine isn't touched: published ports go through docker-proxy, and networks are not
	# walled off from each other. Inside of containers the engine uses it, for names.
	PATH=$unpacked/usr/sbin:$unpacked/usr/bin:$PATH \
		LD_LIBRARY_PATH=$unpacked/usr/lib/x86_64-linux-gnu:$unpacked/lib/x86_64-linux-gnu \
		XTABLES_LIBDIR=$unpacked/usr/lib/x86_64-linux-gnu/xtables \
		setsid "$unpacked/usr/sbin/dockerd" --config-file "$state/config.json" --host "unix://$socket" --pidfile "$pidfile" \
		--data-root "$state/data" --exec-root "$state/run" --bridge none --iptables=false --ip6tables=false --ip-masq=false \
		--storage-driver "${PAYAID_ENGINE_STORAGE:-overlay2}" >"$state/dockerd.log" 2>&1 </dev/null &
	local child=$!
	for _ in $(seq 120); do
		if speak version >/dev/null 2>&1; then
			echo "the engine is up: $(speak version --format '{{.Server.Version}}, {{.Server.Os}}/{{.Server.Arch}}'), pid $(cat "$pidfile")"
			return
		fi
		kill -0 "$child" 2>/dev/null || break
		sleep 0.5
	done
	tail -n 20 "$state/dockerd.log" >&2
	give_up "the engine didn't start; above is the end of $state/dockerd.log"
}

stop() {
	running || return 0
	local pid
	pid=$(cat "$pidfile")
	kill "$pid"
	for _ in $(seq 240); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.5
	done
	give_up "the engine, pid $pid, is still there after two minutes"
}

clean() {
	stop
	# Mounts that an engine left behind when it was killed.
	awk -v under="$state/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
		umount "$mount"
	done
	rm -rf "$state"
}

case ${1:-} in
start) start ;;
stop) stop ;;
clean) clean ;;
env)
	echo "export DOCKER_HOST=unix://$socket DOCKER_CONFIG=$state/config DOCKER_BUILDKIT=0 PATH=$unpacked/usr/bin:\$PATH"
	;;
*) give_up "want start, stop, clean or env" ;;
esac
