#!/bin/sh
# As the official image's: arguments alone are those of the server, which never runs as root.
set -e
case ${1:-} in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
	find . \! -user redis -exec chown redis '{}' +
	exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi
exec "$@"
