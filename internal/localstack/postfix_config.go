package localstack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// configure writes what Postfix reads. Nothing in it refers to a Postfix of the system.
func (p *Postfix) configure(o PostfixOptions) error {
	settings := p.settings()
	maps.Copy(settings, o.Settings)
	var main strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&main, "%s = %s\n", name, settings[name])
	}
	for name, text := range map[string]string{
		"main.cf": main.String(), "master.cf": p.services(), "replies": table(o.Replies) + usualReplies, "transports": table(o.Transports),
	} {
		if err := os.WriteFile(p.dir.join("etc/"+name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func table(lines map[string]string) string {
	var b strings.Builder
	for _, pattern := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s %s\n", pattern, lines[pattern])
	}
	return b.String()
}

func (p *Postfix) settings() map[string]string {
	return map[string]string{
		"compatibility_level": "3.6",
		"config_directory":    p.dir.join("etc"), "queue_directory": p.dir.join("queue"), "data_directory": p.dir.join("data"),
		"maillog_file": p.dir.join("mail.log"), "maillog_file_prefixes": p.dir.path,
		"mail_owner": "postfix", "setgid_group": "postdrop",
		"myhostname": "mail.localhost.test", "mydestination": "", "alias_maps": "", "local_recipient_maps": "",
		"inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
		// Whatever the tables say, nothing is looked up in the DNS, so that no mail finds its way out.
		"default_transport": "discard:silently", "relay_transport": "discard:silently", "local_transport": "discard:silently",
		"transport_maps": "regexp:" + p.dir.join("etc/transports"), "smtp_dns_support_level": "disabled",
		"smtpd_peername_lookup": "no", "notify_classes": "", "biff": "no",
		"message_size_limit": "10240000", "smtputf8_enable": "no", "recipient_delimiter": "+", "enable_long_queue_ids": "yes",
		"disable_vrfy_command": "yes", "smtpd_client_connection_count_limit": "0",
		"smtpd_tls_chain_files": p.dir.join("key.pem") + ", " + p.dir.join("cert.pem"), "smtpd_tls_security_level": "may",
		"smtpd_tls_loglevel": "0", "smtpd_tls_session_cache_database": "",
		"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": p.authSocket(), "smtpd_sasl_security_options": "noanonymous",
		"smtpd_relay_restrictions":     "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
		"smtpd_recipient_restrictions": "check_recipient_access regexp:" + p.dir.join("etc/replies"),
		// What is deferred is tried again soon, and so is a program that was killed: tests wait for it. Not sooner: the
		// queue manager takes a mail up a second early, and where its last delivery hasn't let go of the file yet, it
		// leaves it alone for a whole minute ("skipped, still being delivered").
		"service_throttle_time": "1s",
		"queue_run_delay":       "1s", "minimal_backoff_time": "3s", "maximal_backoff_time": "3s", "destination_concurrency_failed_cohort_limit": "1000",
	}
}

// services is master.cf.
func (p *Postfix) services() string {
	const login = " -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject" +
		" -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1:%d inet n - n - - smtpd\n", p.plain)
	fmt.Fprintf(&b, "127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_auth_only=yes%s\n", p.submission, login)
	fmt.Fprintf(&b, "127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_wrappermode=yes%s\n", p.implicit, login)
	b.WriteString(`pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`)
	return b.String()
}

// configureDovecot has it check logins and do nothing else.
func (p *Postfix) configureDovecot(dir *workdir) error {
	as, err := unprivileged("dovecot")
	if err != nil {
		return err
	}
	users := dir.join("users")
	if err := os.WriteFile(users, []byte("payaid:"+p.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Chown(users, int(as.Uid), int(as.Gid)); err != nil {
		return err
	}
	return os.WriteFile(dir.join("dovecot.conf"), []byte(fmt.Sprintf(`base_dir = %s
instance_name = %s
protocols =
ssl = no
log_path = /dev/stderr
disable_plaintext_auth = no
auth_mechanisms = plain login
service auth {
  unix_listener %s {
    mode = 0660
    user = postfix
    group = postfix
  }
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN %s
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
`, dir.join("run"), dir.path, p.authSocket(), users)), 0o644)
}

// makeCertificate makes an authority and a certificate by it: ca.pem, cert.pem, key.pem.
func makeCertificate(dir *workdir, names []string) (*x509.CertPool, error) {
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1"}
	}
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "PayAid test authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name, kind string
		bytes      []byte
		mode       os.FileMode
	}{{"ca.pem", "CERTIFICATE", ca, 0o644}, {"cert.pem", "CERTIFICATE", cert, 0o644}, {"key.pem", "PRIVATE KEY", private, 0o600}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.bytes})
		if err := writeAtomic(dir.join(file.name), text, file.mode); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(ca)
	if err != nil {
		return nil, err
	}
	roots.AddCert(parsed)
	return roots, nil
}
