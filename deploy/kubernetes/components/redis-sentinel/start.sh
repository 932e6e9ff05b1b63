#!/bin/sh
# Starts redis or sentinel (the argument) of one pod. Who is primary is asked of the other pods' Sentinels; where none
# knows, as at the very first start, it is redis-0.
set -eu
domain="redis-peers.$POD_NAMESPACE.svc.cluster.local"
self="$POD_NAME.$domain"

primary() {
	for other in redis-0 redis-1 redis-2; do
		[ "$other" = "$POD_NAME" ] && continue
		known=$(timeout 3 redis-cli -h "$other.$domain" -p 26379 sentinel get-master-addr-by-name payaid 2>/dev/null | head -n 1) || known=
		case "$known" in redis-*) echo "$known" && return ;; esac
	done
}

of=$(primary)
if [ "$1" = redis ] && [ "$of" = "$self" ]; then
	# It was primary a moment ago and is back, empty, before the others have noticed. They choose another meanwhile.
	sleep 15
	of=$(primary)
fi
: "${of:=redis-0.$domain}"
sed -e "s/REDIS_SELF/$self/" -e "s/REDIS_PRIMARY/$of/" "/etc/redis/$1.conf" >"/tmp/$1.conf"
if [ "$1" = sentinel ]; then
	cat /etc/redis/sentinel-auth.conf >>/tmp/sentinel.conf
	exec redis-sentinel /tmp/sentinel.conf
fi
[ "$of" = "$self" ] || echo "replicaof $of 6379" >>/tmp/redis.conf
exec redis-server /tmp/redis.conf
