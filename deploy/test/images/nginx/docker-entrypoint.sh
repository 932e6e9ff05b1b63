#!/bin/sh
# As the official image's: templates become files of conf.d, with those variables filled in that there are; then
# the scripts of /docker-entrypoint.d.
set -e
if [ "$1" = nginx ]; then
	out=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
	suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
	# The names alone: envsubst fills in the values.
	defined=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | grep -E "${NGINX_ENVSUBST_FILTER:-}" | sed 's/.*/${&}/' || true)
	for template in "${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}"/*"$suffix"; do
		[ -e "$template" ] || continue
		name=$(basename "$template" "$suffix")
		envsubst "$defined" <"$template" >"$out/$name"
	done
	for script in /docker-entrypoint.d/*.sh; do
		if [ -x "$script" ]; then "$script"; else echo "$script is passed over: it isn't executable"; fi
	done
fi
exec "$@"
