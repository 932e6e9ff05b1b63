package cli

import (
	"cmp"
	"crypto/x509"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"

	"github.com/payaid/payaid/internal/mail"
)

// mailSettings say through which server mail goes, and from whom.
type mailSettings struct {
	SMTPHost           string `name:"smtp-host" env:"SMTP_HOST" help:"Your mail server. Without it mails wait; in up they go to a sink."`
	SMTPPort           string `name:"smtp-port" env:"SMTP_PORT" help:"Its port: 587 unless set, 465 where SMTP_SECURE is true."`
	SMTPSecure         string `name:"smtp-secure" env:"SMTP_SECURE" default:"false" help:"true begins with TLS; with false the server has to offer STARTTLS."`
	SMTPUser           string `name:"smtp-user" env:"SMTP_USER" help:"Who logs in there; nobody unless set."`
	SMTPPass           string `name:"smtp-pass" env:"SMTP_PASS" secret:"" help:"The password."`
	SMTPFrom           string `name:"smtp-from" env:"SMTP_FROM" help:"Whose mail it is, such as 'Acme <billing@acme.example>'. The server has to let the user send in this name. SMTP_USER unless set, where that is an address."`
	SMTPAllowPlaintext string `name:"smtp-allow-plaintext" env:"SMTP_ALLOW_PLAINTEXT" default:"false" help:"true sends mail and password for all to read where the server doesn't offer STARTTLS. On this machine that is done anyway."`
	SMTPCAFile         string `name:"smtp-ca-file" env:"SMTP_CA_FILE" help:"PEM file of the authority that signed the server's certificate, where the system doesn't trust it."`
	SMTPServerName     string `name:"smtp-server-name" env:"SMTP_SERVER_NAME" help:"The name that its certificate is for, where that is not SMTP_HOST."`
	SMTPHelo           string `name:"smtp-helo" env:"SMTP_HELO" help:"The full name of this machine, as servers want to hear it (EHLO)."`
	SMTPConnections    string `name:"smtp-connections" env:"SMTP_CONNECTIONS" default:"4" help:"Connections that a process has to it at most."`
	SMTPRate           string `name:"smtp-rate" env:"SMTP_RATE" default:"0" help:"Mails that a process submits in a second at most; 0 is as many as the server takes."`
}

// mailServer is where mail goes, and from whom.
type mailServer struct {
	server mail.Config // no Host: nowhere
	from   netmail.Address
}

// check reads what there is. Without a host the rest is read all the same, as up has a server of its own.
func (s mailSettings) check(p *problems) mailServer {
	secure := p.truth("SMTP_SECURE", s.SMTPSecure)
	port := "587"
	if secure {
		port = "465"
	}
	out := mailServer{server: mail.Config{
		Host: s.SMTPHost, Port: p.number("SMTP_PORT", cmp.Or(s.SMTPPort, port), 1, 65535),
		ImplicitTLS: secure, AllowPlaintext: p.truth("SMTP_ALLOW_PLAINTEXT", s.SMTPAllowPlaintext),
		User: s.SMTPUser, Password: s.SMTPPass, ServerName: s.SMTPServerName, RootCAs: p.authorities("SMTP_CA_FILE", s.SMTPCAFile),
		Connections: p.number("SMTP_CONNECTIONS", s.SMTPConnections, 1, 100), Rate: p.decimal("SMTP_RATE", s.SMTPRate, 0, 10_000),
	}}
	for _, one := range []struct{ name, value string }{
		{"SMTP_HOST", s.SMTPHost}, {"SMTP_SERVER_NAME", s.SMTPServerName}, {"SMTP_HELO", s.SMTPHelo}} {
		if strings.ContainsAny(one.value, "/@ \t\r\n") || strings.Count(one.value, ":") == 1 {
			p.add(one.name, "want a name or an address alone, without a port (SMTP_PORT), got %q", one.value)
		}
	}
	if (s.SMTPUser == "") != (s.SMTPPass == "") {
		p.add("SMTP_PASS", "SMTP_USER and SMTP_PASS go together, and one of them is not set")
	}
	out.from = s.from(p)
	out.server.Hello = cmp.Or(s.SMTPHelo, machineName(out.from))
	return out
}

func (s mailSettings) from(p *problems) netmail.Address {
	if s.SMTPFrom == "" {
		return s.unnamed(p)
	}
	from, err := mail.ParseAddress(s.SMTPFrom)
	if err != nil {
		p.add("SMTP_FROM", "%v; want one address, such as 'Acme <billing@acme.example>'", err)
	}
	return from
}

// unnamed is whose mail it is where nobody says: of who logs in, if that is an address. A server on this machine, as
// one tries the product out with, takes any sender.
func (s mailSettings) unnamed(p *problems) netmail.Address {
	if s.SMTPHost == "" {
		return netmail.Address{}
	}
	if user, err := mail.ParseAddress(s.SMTPUser); err == nil {
		return user
	}
	if !isLoopback(s.SMTPHost) {
		p.add("SMTP_FROM", "is not set; want whose mail it is, such as 'Acme <billing@acme.example>'")
	}
	return sinkSender
}

// authorities reads a file of certificates; nil, which is the system's, for none.
func (p *problems) authorities(name, path string) *x509.CertPool {
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		p.add(name, "%v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		p.add(name, "%s has no certificate (PEM)", path)
	}
	return pool
}

// machineName is what servers are told where SMTP_HELO isn't set: this machine's name if it is a full one, or else
// the domain whose mail it is, as many servers want to hear a name with a dot.
func machineName(from netmail.Address) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(strings.Trim(name, "."), ".") {
		return strings.Trim(name, ".")
	}
	if _, domain, ok := strings.Cut(from.Address, "@"); ok && strings.Contains(domain, ".") {
		return domain
	}
	return "localhost"
}

// sinkSender is whose mail it is in up, where nobody says.
var sinkSender = netmail.Address{Name: "PayAid", Address: "payaid@localhost"}

// orSink has the mail go to a sink on this machine, where there is one and no server is configured.
func (m mailServer) orSink(port int) mailServer {
	if m.server.Host != "" || port == 0 {
		return m
	}
	m.server.Host, m.server.Port = "127.0.0.1", port
	m.server.ImplicitTLS, m.server.User, m.server.Password = false, "", ""
	if m.from.Address == "" {
		m.from = sinkSender
	}
	return m
}

// describe says where mail goes, without the password.
func (m mailServer) describe() string {
	how := " (STARTTLS)"
	switch {
	case m.server.ImplicitTLS:
		how = " (TLS)"
	case m.server.AllowPlaintext || isLoopback(m.server.Host):
		how = ""
	}
	return net.JoinHostPort(m.server.Host, strconv.Itoa(m.server.Port)) + how
}
