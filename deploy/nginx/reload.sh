#!/bin/sh
# Has nginx read its certificates again when they have changed. The image runs it before nginx starts; what it leaves
# behind looks once a minute, and ends with the container.
(
	seen=$(cksum /etc/nginx/certificates/fullchain.pem)
	while sleep 60; do
		now=$(cksum /etc/nginx/certificates/fullchain.pem)
		if [ "$now" != "$seen" ] && nginx -t -q; then
			nginx -s reload && seen=$now
		fi
	done
) &
