#!/bin/bash
# Sets Postfix and Dovecot up after the files and variables of docker-mailserver: the accounts of
# postfix-accounts.cf, the additions of postfix-main.cf and postfix-master.cf, SSL_TYPE=manual or self-signed,
# PERMIT_DOCKER and POSTFIX_MESSAGE_SIZE_LIMIT. Submission wants TLS and a login.
set -euo pipefail

config=/tmp/docker-mailserver
name=${OVERRIDE_HOSTNAME:-$(hostname -f)}
domain=${name#*.}
accounts=/etc/postfix-test/users
[ -s "$config/postfix-accounts.cf" ] || { echo "there is no account in $config/postfix-accounts.cf" >&2; exit 1; }

# Writes the accounts down for Dovecot, under their name only when all of them are there.
take_accounts() {
	while IFS='|' read -r address hash _; do
		case $address in
		'' | '#'*) ;;
		*) echo "$address:$hash::::::" ;;
		esac
	done <"$config/postfix-accounts.cf" >"$accounts.new"
	chown root:dovecot "$accounts.new"
	chmod 640 "$accounts.new"
	mv "$accounts.new" "$accounts"
}
take_accounts

certificate=${SSL_CERT_PATH:-/etc/postfix-test/cert.pem} key=${SSL_KEY_PATH:-/etc/postfix-test/key.pem}
if [ "${SSL_TYPE:-}" = letsencrypt ]; then
	certificate=/etc/letsencrypt/live/$name/fullchain.pem key=/etc/letsencrypt/live/$name/privkey.pem
fi
if [ ! -e "$certificate" ]; then
	openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$name" -keyout "$key" -out "$certificate" 2>/dev/null
fi

postconf -e "myhostname = $name" "mydomain = $domain" 'mydestination =' 'inet_interfaces = all' 'inet_protocols = ipv4' \
	'maillog_file = /dev/stdout' 'compatibility_level = 3.6' 'recipient_delimiter = +' 'smtputf8_enable = no' 'biff = no' \
	"message_size_limit = ${POSTFIX_MESSAGE_SIZE_LIMIT:-10240000}" 'mynetworks = 127.0.0.0/8' \
	"smtpd_tls_cert_file = $certificate" "smtpd_tls_key_file = $key" 'smtpd_tls_security_level = may' \
	'smtpd_sasl_type = dovecot' 'smtpd_sasl_path = private/auth' 'smtpd_sasl_security_options = noanonymous' \
	'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination' \
	"virtual_mailbox_domains = $domain" 'virtual_mailbox_base = /var/mail' 'virtual_mailbox_maps = static:all/' \
	'virtual_uid_maps = static:5000' 'virtual_gid_maps = static:5000' 'default_transport = virtual' 'relay_transport = virtual' \
	'queue_run_delay = 5s' 'minimal_backoff_time = 5s' 'maximal_backoff_time = 30s' 'alias_maps =' 'smtp_dns_support_level = disabled'
postconf -M 'submission/inet=submission inet n - n - - smtpd' 'submissions/inet=submissions inet n - n - - smtpd'
for service in submission submissions; do
	postconf -P "$service/inet/smtpd_sasl_auth_enable=yes" "$service/inet/smtpd_tls_auth_only=yes" \
		"$service/inet/smtpd_client_restrictions=permit_sasl_authenticated,reject" \
		"$service/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject"
done
postconf -P submission/inet/smtpd_tls_security_level=encrypt submissions/inet/smtpd_tls_wrappermode=yes
# What the daemons see is what is here: no copy of the system in /var/spool/postfix.
postconf -F '*/*/chroot=n'
postconf -M 'postlog/unix-dgram=postlog unix-dgram n - n - 1 postlogd'
if [ -e "$config/postfix-main.cf" ]; then
	cat "$config/postfix-main.cf" >>/etc/postfix/main.cf
fi
if [ -e "$config/postfix-master.cf" ]; then
	grep -v '^#' "$config/postfix-master.cf" | while read -r line; do
		[ -z "$line" ] || postconf -P "$line"
	done
fi
install -d -o vmail -g vmail /var/mail/all

cat >/etc/dovecot/dovecot.conf <<CONF
protocols = imap
log_path = /dev/stderr
ssl = required
ssl_cert = <$certificate
ssl_key = <$key
auth_mechanisms = plain login
mail_location = maildir:/var/mail/all
service imap-login {
  inet_listener imap {
    port = 0
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
passdb {
  driver = passwd-file
  args = $accounts
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/var/mail
}
CONF
# What one that was killed has left would keep it from starting.
rm -f /run/dovecot/master.pid /var/spool/postfix/private/auth /var/spool/postfix/pid/master.pid
dovecot -F &
# Postfix asks once, and without an answer not again for a minute.
until [ -S /var/spool/postfix/private/auth ]; do sleep 0.1; done
# As docker-mailserver does, new passwords are seen without a restart.
(
	before=$(md5sum <"$config/postfix-accounts.cf")
	while sleep 2; do
		now=$(md5sum <"$config/postfix-accounts.cf")
		if [ "$now" != "$before" ]; then
			take_accounts
			doveadm auth cache flush
			before=$now
		fi
	done
) &
exec postfix start-fg
