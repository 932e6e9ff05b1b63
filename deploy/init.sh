#!/usr/bin/env bash
# Prepares this folder for `docker compose up`: .env, secrets, certificates, the accounts and the key of the mail server.
# It can be run again at any time: what is there stays as it is, what is missing is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077

usage() {
	cat <<'TEXT'
Usage: ./init.sh --domain crm.example.com --email you@example.com [flags]

  --domain NAME         where clients reach the API and the pages
  --email ADDRESS       you: for the authority of certificates, and for what postmaster gets
  --tls KIND            self-signed (the default: by an authority of its own, secrets/certificates/ca.pem),
                        acme (Let's Encrypt or ACME_SERVER, by port 80), or files
  --cert FILE --key FILE   the chain and its key (PEM), with --tls files
  --mail-domain NAME    what stands behind the @ of mails (the domain). It should have no other mail
  --mail-host NAME      the mail server's own name (mail.MAIL-DOMAIN)
  --version VERSION     of the program and the tags of its images (as git describes it)
  --address IPV4        of this machine, for the DNS records that are printed
  --dns                 only print the DNS records
  -h, --help            this

Where it can ask, it asks for what is not given. Secrets are files in secrets/, each for the user of its container alone.
TEXT
}

give_up() {
	echo "init.sh: $1" >&2
	exit 2
}

domain='' email='' tls='' certificate='' key='' mail_domain='' mail_host='' version='' address='' only_dns=''

arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help)
			usage
			exit 0
			;;
		--dns)
			only_dns=yes
			shift
			continue
			;;
		--domain | --email | --tls | --cert | --key | --mail-domain | --mail-host | --version | --address) ;;
		*) give_up "there is no flag $1; see ./init.sh --help" ;;
		esac
		[ -n "${2:-}" ] || give_up "$1 wants a value; see ./init.sh --help"
		case $1 in
		--domain) domain=$2 ;;
		--email) email=$2 ;;
		--tls) tls=$2 ;;
		--cert) certificate=$2 ;;
		--key) key=$2 ;;
		--mail-domain) mail_domain=$2 ;;
		--mail-host) mail_host=$2 ;;
		--version) version=$2 ;;
		--address) address=$2 ;;
		esac
		shift 2
	done
}

# setting NAME: its value in .env, "" without one.
setting() {
	[ ! -e .env ] || sed -n "s/^$1=//p" .env | tail -n 1
}

# settled NAME VALUE FLAG: the value that is in .env already. A flag that says something else is a mistake, as half of what
# hangs on it has been made.
settled() {
	local there
	there=$(setting "$1")
	if [ -n "$there" ] && [ -n "$2" ] && [ "$there" != "$2" ]; then
		give_up "$3 says $2, and .env says $1=$there: change it there, and remove what was made for it from secrets/"
	fi
	printf '%s' "${2:-$there}"
}

ask() {
	local answer=''
	[ -t 0 ] || give_up "$2 is not given; see ./init.sh --help"
	read -r -p "$1: " answer
	printf '%s' "$answer"
}

is_name() {
	[[ $1 =~ ^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$ && ${#1} -le 253 ]]
}

settle() {
	domain=$(settled PAYAID_DOMAIN "$domain" --domain)
	email=$(settled ADMIN_EMAIL "$email" --email)
	mail_domain=$(settled MAIL_DOMAIN "$mail_domain" --mail-domain)
	mail_host=$(settled MAIL_HOSTNAME "$mail_host" --mail-host)
	[ -n "$domain" ] || domain=$(ask 'Where clients reach the API, such as crm.example.com' --domain)
	[ -n "$email" ] || email=$(ask 'Your own address, elsewhere' --email)
	mail_domain=${mail_domain:-$domain}
	mail_host=${mail_host:-mail.$mail_domain}
	is_name "$domain" || give_up "--domain: want a name such as crm.example.com, in small letters, got $domain"
	is_name "$mail_domain" || give_up "--mail-domain: want a name such as crm.example.com, in small letters, got $mail_domain"
	is_name "$mail_host" || give_up "--mail-host: want a name such as mail.crm.example.com, in small letters, got $mail_host"
	[ "${mail_host#*.}" = "$mail_domain" ] || give_up "--mail-host: want a name right below $mail_domain, as the mail server goes by that, got $mail_host"
	[[ $email =~ ^[A-Za-z0-9._%+-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+$ ]] || give_up "--email: want an address such as you@example.com, got $email"
	[ "${email##*@}" != "$mail_domain" ] || give_up "--email: $email would be a mailbox of this very server, which has none for it; give one elsewhere, or another --mail-domain"
	if [ -z "$tls" ]; then
		tls=self-signed
		[[ ,$(setting COMPOSE_PROFILES), != *,acme,* ]] || tls=acme
	fi
	case $tls in
	self-signed | acme)
		[ -z "$certificate$key" ] || give_up "--cert and --key go with --tls files"
		;;
	files)
		if [ ! -e secrets/certificates/fullchain.pem ] || [ -n "$certificate$key" ]; then
			checked_files
		fi
		;;
	*) give_up "--tls: want self-signed, acme or files, got $tls" ;;
	esac
	[ -z "$address" ] || [[ $address =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ ]] || give_up "--address: want an IPv4 address such as 203.0.113.5, got $address"
	[ -z "$version" ] || [[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || give_up "--version: want letters, digits, dots and hyphens, as tags of images have them, got $version"
}

# checked_files looks whether the files that --cert and --key name are a pair, for these names.
checked_files() {
	if [ -z "$certificate" ] || [ -z "$key" ]; then
		give_up "--tls files wants --cert FILE and --key FILE"
	fi
	openssl x509 -in "$certificate" -noout 2>/dev/null || give_up "--cert: there is no certificate (PEM) in $certificate"
	openssl pkey -in "$key" -noout 2>/dev/null || give_up "--key: there is no key (PEM) without a password in $key"
	[ "$(openssl x509 -in "$certificate" -noout -pubkey)" = "$(openssl pkey -in "$key" -pubout)" ] || give_up "--key: $key is not the key of $certificate"
	openssl x509 -in "$certificate" -noout -checkend 0 >/dev/null || give_up "--cert: $certificate has expired"
	local name
	for name in "$domain" "$mail_host"; do
		openssl x509 -in "$certificate" -noout -checkhost "$name" | grep -q 'does match' || give_up "--cert: $certificate is not for $name"
	done
}

# keep FILE USER: writes what comes in to secrets/FILE, for the user of a container alone, unless something is there.
# Without root no file can be given away; then what keeps it is its folder, which nobody else may enter.
keep() {
	local file=secrets/$1
	if [ -e "$file" ]; then
		cat >/dev/null
	else
		cat >"$file.new"
		[ -s "$file.new" ] || give_up "nothing came of $file"
		made+=("$file")
		mv "$file.new" "$file"
	fi
	give "$file" "$2"
}

give() {
	if [ "$(id -u)" = 0 ]; then
		chown "$2:$2" "$1"
	elif [ -d "$1" ]; then
		open_up 0777 "$1"
	else
		open_up 0644 "$1"
	fi
}

# open_up MODE FILE: as far as it is ours: what a container has put in the place of a file belongs to its user.
open_up() {
	if [ "$(id -u)" = 0 ] || [ -O "$2" ]; then
		chmod "$1" "$2"
	fi
}

password() { openssl rand -hex 24; }

# The users of the containers, as compose.yaml has them.
ours=65532 nginx=101 postgres=999 redis=999 grafana=472 root=0

make_secrets() {
	local name word
	for name in postgres_password postgres_owner_password postgres_service_password postgres_backup_password postgres_riverui_password postgres_wal_password; do
		keep $name $postgres < <(password)
	done
	# Between containers of one machine, on a network that reaches nobody else.
	keep database_owner_url $ours < <(database owner)
	keep database_url $ours < <(database service)
	keep backup_database_url $ours < <(database backup)
	keep riverui_pgpass $ours < <(echo "postgres:5432:*:payaid_riverui:$(cat secrets/postgres_riverui_password)")
	keep redis_password $redis < <(password)
	word=$(cat secrets/redis_password)
	keep redis_auth $redis <<<"requirepass $word"
	keep redis_url $ours <<<"redis://:$word@redis:6379/0"
	keep nats_password $root < <(password)
	word=$(cat secrets/nats_password)
	keep nats_auth $ours < <(printf 'authorization {\n  user: payaid\n  password: "%s"\n}\n' "$word")
	keep nats_url $ours <<<"nats://payaid:$word@nats:4222"
	for name in admin_key smtp_pass riverui_password; do
		keep $name $ours < <(password)
	done
	keep grafana_password $grafana < <(password)
	# What only you can know: empty, until you write it there.
	for name in groq_api_key backup_age_identity backup_s3_access_key backup_s3_secret_key backup_ping_url; do
		if [ ! -e secrets/$name ]; then
			: >secrets/$name
			made+=("secrets/$name")
		fi
		give secrets/$name $ours
	done
}

# database LOGIN: the address of the database for payaid_LOGIN.
database() {
	echo "postgres://payaid_$1:$(cat "secrets/postgres_$1_password")@postgres:5432/payaid?sslmode=disable"
}

# By an authority of its own, whose certificate can be given to clients and workers, and which signs again when it ends.
self_signed() {
	local folder=secrets/certificates work
	if [ -s $folder/fullchain.pem ] && { [ ! -s secrets/ca.key ] || [ "$tls" != self-signed ] || openssl x509 -in $folder/fullchain.pem -noout -checkend $((30 * 86400)) >/dev/null; }; then
		return
	fi
	work=$(mktemp -d secrets/.making.XXXXXX)
	if [ ! -s secrets/ca.key ] || [ ! -s $folder/ca.pem ]; then
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=PayAid of $domain" \
			-addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
			-keyout secrets/ca.key -out $folder/ca.pem 2>/dev/null
		made+=(secrets/ca.key "$folder/ca.pem")
	fi
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$domain" -keyout "$work/key" -out "$work/request" 2>/dev/null
	printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:%s,DNS:%s\n' \
		"$domain" "$mail_host" >"$work/extensions"
	openssl x509 -req -in "$work/request" -CA $folder/ca.pem -CAkey secrets/ca.key -days 397 -set_serial "0x$(openssl rand -hex 16)" \
		-extfile "$work/extensions" -out "$work/certificate" 2>/dev/null
	cat "$work/certificate" $folder/ca.pem >"$work/chain"
	mv "$work/key" $folder/privkey.pem
	mv "$work/chain" $folder/fullchain.pem
	rm -r "$work"
	made+=("$folder/fullchain.pem" "$folder/privkey.pem")
}

make_certificates() {
	mkdir -p secrets/certificates secrets/acme/webroot secrets/acme/state
	if [ "$tls" = files ] && [ -n "$certificate" ]; then
		cat "$key" >secrets/certificates/privkey.pem
		cat "$certificate" >secrets/certificates/fullchain.pem
		made+=(secrets/certificates/fullchain.pem secrets/certificates/privkey.pem)
	fi
	# With acme it is for the time until the first one is there, as nginx doesn't start without any.
	self_signed
	local one
	for one in secrets/certificates secrets/acme secrets/acme/webroot secrets/acme/state secrets/certificates/privkey.pem; do
		give $one $nginx
	done
	[ "$(id -u)" != 0 ] || chmod 0755 secrets/certificates secrets/acme secrets/acme/webroot
	open_up 0644 secrets/certificates/fullchain.pem
	[ ! -e secrets/certificates/ca.pem ] || open_up 0644 secrets/certificates/ca.pem
}

# What docker-mailserver wants to find before it starts. Its programs have users of their own, which only its image knows;
# that nobody else on this machine reads these is the matter of the folder secrets.
make_mail() {
	mkdir -p secrets/mail/rspamd/dkim secrets/mail/rspamd/override.d
	if [ ! -e secrets/mail/postfix-accounts.cf ]; then
		# bounces@ is an address, not a mailbox: what comes there goes to the worker, and nobody logs in.
		{
			printf 'noreply@%s|{SHA512-CRYPT}%s\n' "$mail_domain" "$(openssl passwd -6 -stdin <secrets/smtp_pass)"
			printf 'bounces@%s|{SHA512-CRYPT}%s\n' "$mail_domain" "$(password | openssl passwd -6 -stdin)"
		} >secrets/mail/postfix-accounts.cf
		made+=(secrets/mail/postfix-accounts.cf)
	fi
	if [ ! -e secrets/mail/postfix-virtual.cf ]; then
		printf '%s@'"$mail_domain $email\n" postmaster abuse dmarc >secrets/mail/postfix-virtual.cf
		made+=(secrets/mail/postfix-virtual.cf)
	fi
	if [ ! -e secrets/mail/postfix-transport.regexp ]; then
		echo "/^bounces(\\+[^@]*)?@${mail_domain//./\\.}\$/ lmtp:inet:worker-mail:2424" >secrets/mail/postfix-transport.regexp
		made+=(secrets/mail/postfix-transport.regexp)
	fi
	local dkim=secrets/mail/rspamd/dkim/mail.private
	if [ ! -e $dkim ]; then
		openssl genrsa -traditional -out $dkim 2048 2>/dev/null
		made+=("$dkim")
	fi
	if [ ! -e secrets/mail/rspamd/override.d/dkim_signing.conf ]; then
		cat >secrets/mail/rspamd/override.d/dkim_signing.conf <<CONF
# Signs for the domain that the reader sees, which may be below one of somebody else.
enabled = true;
sign_authenticated = true;
sign_local = true;
use_domain = "header";
use_esld = false;
use_redis = false;
try_fallback = false;
allow_username_mismatch = true;
domain {
  $mail_domain {
    path = "/tmp/docker-mailserver/rspamd/dkim/mail.private";
    selector = "mail";
  }
}
CONF
		made+=(secrets/mail/rspamd/override.d/dkim_signing.conf)
	fi
	# What its container has made in there need not be ours to look into.
	find secrets/mail -user "$(id -u)" -exec chmod u=rwX,go=rX {} + 2>/dev/null || true
}

# write NAME VALUE: sets a line of .env.new.
write() {
	grep -q "^$1=" .env.new || give_up "there is no $1 in .env.example"
	NAME=$1 VALUE=$2 awk 'index($0, ENVIRON["NAME"] "=") == 1 { $0 = ENVIRON["NAME"] "=" ENVIRON["VALUE"] } { print }' .env.new >.env.newer
	mv .env.newer .env.new
}

make_env() {
	local processors
	[ ! -e .env ] || return 0
	version=${version:-$(git describe --tags --always 2>/dev/null || echo devel)}
	processors=$(getconf _NPROCESSORS_ONLN)
	cp .env.example .env.new
	write PAYAID_DOMAIN "$domain"
	write ADMIN_EMAIL "$email"
	write MAIL_DOMAIN "$mail_domain"
	write MAIL_HOSTNAME "$mail_host"
	write PAYAID_VERSION "$version"
	write PAYAID_IMAGE "payaid:$version"
	write PAYAID_BACKUP_IMAGE "payaid-backup:$version"
	write POSTGRES_CPUS "$processors"
	write OLLAMA_CPUS "$processors"
	[ "$tls" != acme ] || write COMPOSE_PROFILES acme
	[ "$tls" != self-signed ] || write SMTP_CA_FILE /run/certificates/ca.pem
	mv .env.new .env
	made+=(.env)
}

print_dns() {
	local public
	[ -e secrets/mail/rspamd/dkim/mail.private ] || give_up "there is no key for DKIM yet: run ./init.sh without --dns first"
	public=$(openssl pkey -in secrets/mail/rspamd/dkim/mail.private -pubout -outform DER | base64 -w 0)
	address=${address:-THIS-MACHINES-ADDRESS}
	cat <<TEXT

DNS records to set (a value longer than 255 characters is given as several strings, which readers join):

  $domain.  A  $address
  $mail_host.  A  $address
  $mail_domain.  MX  10 $mail_host.
  $mail_domain.  TXT  "v=spf1 a:$mail_host -all"
  mail._domainkey.$mail_domain.  TXT  "v=DKIM1; k=rsa; " "p=${public:0:200}" "${public:200}"
  _dmarc.$mail_domain.  TXT  "v=DMARC1; p=quarantine; rua=mailto:dmarc@$mail_domain"

and, by whom the address is from (its reverse name, without which others refuse mails):

  $address  PTR  $mail_host.

No AAAA records: the containers have no IPv6 (RUNBOOK.md, "all clients have one address").
TEXT
}

arguments "$@"
command -v openssl >/dev/null || give_up "it takes openssl: apt-get install openssl"
settle
if [ -n "$only_dns" ]; then
	print_dns
	exit
fi
made=()
mkdir -p secrets
chmod 0700 secrets
make_secrets
make_certificates
make_mail
make_env
if [ ${#made[@]} = 0 ]; then
	echo 'All of it was there; nothing was changed.'
else
	printf 'made %s\n' "${made[@]}"
fi
[ "$(id -u)" = 0 ] || echo 'Not run by root, so files could not be given to the users of the containers: they are kept by their folder alone.'
print_dns
cat <<TEXT

Now: docker compose build && docker compose up -d --wait
The admin's key is in secrets/admin_key; sign in with it at https://$domain/admin.
TEXT
