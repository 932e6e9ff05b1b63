#!/bin/sh
# Has certificates of the names in ACME_NAMES made, and made anew before they end, by http-01 through nginx. What certbot
# keeps is in /acme; the present pair is put into /certificates, where nginx and the mail server notice it.
set -eu
umask 077
trap 'exit 0' TERM

names=
for name in $ACME_NAMES; do
	names="$names -d $name"
done

# A key and its certificate belong together, so the certificate, which is what others look at, comes last.
hand_over() {
	live=/acme/state/live/payaid
	[ -s "$live/fullchain.pem" ] || return 0
	cmp -s "$live/fullchain.pem" /certificates/fullchain.pem && return 0
	for file in privkey.pem fullchain.pem; do
		cp -L "$live/$file" "/certificates/.$file.new"
		mv "/certificates/.$file.new" "/certificates/$file"
	done
	echo "the certificate of $ACME_NAMES was replaced"
}

# At most five tries in an hour are free; after a failure it waits for a quarter of one.
while :; do
	# shellcheck disable=SC2086 # one argument for each name
	if certbot certonly --non-interactive --agree-tos --email "$ACME_EMAIL" --server "$ACME_SERVER" \
		--webroot --webroot-path /acme/webroot --cert-name payaid --expand --keep-until-expiring $names \
		--config-dir /acme/state --work-dir /tmp/work --logs-dir /tmp/logs; then
		hand_over
		pause=43200
	else
		pause=900
	fi
	sleep "$pause" &
	wait $!
done
