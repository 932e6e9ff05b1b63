#!/usr/bin/env bash
# Installs the programs that run beside the product: Postgres and Redis. With the argument "tests" also those
# that the tests and measurements look at it with: a mail server with a login, a signer of mail, a second reader
# of mail, one of PDFs, a verifier of webhooks, a browser, a proxy, and Postgres of other versions. Their packages would also
# start servers of their own; that is kept from happening, as private ones are started.
set -euo pipefail

packages=()
if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
	packages+=(postgresql postgresql-contrib)
fi
command -v redis-server >/dev/null || packages+=(redis-server)
if [ "${1:-}" = tests ]; then
	# The race detector needs a C compiler.
	command -v cc >/dev/null || packages+=(gcc libc6-dev)
	command -v postfix >/dev/null || [ -x /usr/sbin/postfix ] || packages+=(postfix)
	command -v dovecot >/dev/null || [ -x /usr/sbin/dovecot ] || packages+=(dovecot-core)
	command -v opendkim >/dev/null || [ -x /usr/sbin/opendkim ] || packages+=(opendkim)
	command -v python3 >/dev/null || packages+=(python3)
	command -v pdftotext >/dev/null || packages+=(poppler-utils)
	command -v shellcheck >/dev/null || packages+=(shellcheck)
	command -v npm >/dev/null || packages+=(npm)
	command -v chromium >/dev/null || packages+=(chromium)
	command -v systemd-analyze >/dev/null || packages+=(systemd)
fi

# Postgres of the versions that the packages lack, what checks the alerts, the proxy, what verifies webhooks, and what looks
# at pages.
others() {
	[ "${1:-}" = tests ] || return 0
	"$(dirname "$0")/postgres.sh"
	"$(dirname "$0")/promtool.sh"
	"$(dirname "$0")/nginx.sh"
	"$(dirname "$0")/webhooks.sh"
	"$(dirname "$0")/axe.sh"
}

if [ ${#packages[@]} = 0 ]; then
	others "$@"
	exit
fi

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "deps.sh: install these first, or what your system calls them: ${packages[*]}" >&2
	exit 1
fi

if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod +x /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}"
others "$@"
