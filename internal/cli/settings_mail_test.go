package cli

import (
	"context"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// usualMail is what is set where nobody says anything but these.
func usualMail(host, from string) mailSettings {
	return mailSettings{SMTPHost: host, SMTPFrom: from, SMTPSecure: "false", SMTPAllowPlaintext: "false",
		SMTPConnections: "4", SMTPRate: "0"}
}

func TestMailSettings(t *testing.T) {
	t.Parallel()
	var p problems
	s := usualMail("mail.acme.example", "Acme Traders <Billing@ACME.example>")
	got := s.check(&p)
	if p.err() != nil || got.server.Host != "mail.acme.example" || got.server.Port != 587 || got.server.ImplicitTLS ||
		got.server.AllowPlaintext || got.server.Connections != 4 || got.server.Rate != 0 || got.server.RootCAs != nil {
		t.Errorf("%+v, %v", got, p.err())
	}
	if want := (netmail.Address{Name: "Acme Traders", Address: "Billing@acme.example"}); got.from != want {
		t.Errorf("from %+v, want %+v", got.from, want)
	}
	s.SMTPSecure, s.SMTPHelo = "true", "worker.acme.example"
	if got = s.check(&p); got.server.Port != 465 || !got.server.ImplicitTLS || got.server.Hello != "worker.acme.example" {
		t.Errorf("%+v", got)
	}
	s.SMTPPort = "2465"
	if got = s.check(&p); got.server.Port != 2465 || p.err() != nil {
		t.Errorf("%+v, %v", got, p.err())
	}
}

func TestMailSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const host, from = "mail.acme.example", "a@acme.example"
	for name, c := range map[string]struct {
		change func(*mailSettings)
		want   string
	}{
		"no sender":           {func(s *mailSettings) { s.SMTPFrom = "" }, "SMTP_FROM: is not set"},
		"no address":          {func(s *mailSettings) { s.SMTPFrom = "Acme" }, "SMTP_FROM: "},
		"two addresses":       {func(s *mailSettings) { s.SMTPFrom = "a@b.example, c@d.example" }, "SMTP_FROM: "},
		"a host with a port":  {func(s *mailSettings) { s.SMTPHost = "mail:25" }, "SMTP_HOST: want a name"},
		"a URL":               {func(s *mailSettings) { s.SMTPHost = "smtp://mail" }, "SMTP_HOST: want a name"},
		"a port over all":     {func(s *mailSettings) { s.SMTPPort = "70000" }, "SMTP_PORT: "},
		"neither true":        {func(s *mailSettings) { s.SMTPSecure = "starttls" }, "SMTP_SECURE: "},
		"a user alone":        {func(s *mailSettings) { s.SMTPUser = "u" }, "SMTP_PASS: "},
		"a password alone":    {func(s *mailSettings) { s.SMTPPass = "p" }, "SMTP_PASS: "},
		"no such file":        {func(s *mailSettings) { s.SMTPCAFile = empty + "x" }, "SMTP_CA_FILE: "},
		"no certificate":      {func(s *mailSettings) { s.SMTPCAFile = empty }, "SMTP_CA_FILE: "},
		"no connections":      {func(s *mailSettings) { s.SMTPConnections = "0" }, "SMTP_CONNECTIONS: "},
		"a rate below zero":   {func(s *mailSettings) { s.SMTPRate = "-1" }, "SMTP_RATE: "},
		"a name with a break": {func(s *mailSettings) { s.SMTPHelo = "a\r\nb" }, "SMTP_HELO: "},
	} {
		var p problems
		s := usualMail(host, from)
		c.change(&s)
		if s.check(&p); p.err() == nil || !strings.Contains(p.err().Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, p.err(), c.want)
		}
	}
}

func TestMailIsOfWhoLogsInUnlessSaid(t *testing.T) {
	t.Parallel()
	var p problems
	s := usualMail("mail.acme.example", "")
	s.SMTPUser, s.SMTPPass = "billing@acme.example", "p"
	if got := s.check(&p); got.from.Address != "billing@acme.example" {
		t.Errorf("got %+v", got.from)
	}
	s.SMTPUser, s.SMTPHost = "billing", "127.0.0.1"
	if got := s.check(&p); got.from != sinkSender || p.err() != nil {
		t.Errorf("on this machine: %+v, %v", got.from, p.err())
	}
}

func TestWithoutAServerMailGoesToTheSink(t *testing.T) {
	t.Parallel()
	var p problems
	m := usualMail("", "").check(&p)
	if p.err() != nil || m.server.Host != "" {
		t.Fatalf("%+v, %v", m, p.err())
	}
	if got := m.orSink(0); got.server.Host != "" {
		t.Errorf("without a sink: %+v", got)
	}
	if got := m.orSink(2525); got.server.Host != "127.0.0.1" || got.server.Port != 2525 || got.from != sinkSender {
		t.Errorf("with a sink: %+v", got)
	}
	m.server.Host = "mail.acme.example"
	if got := m.orSink(2525); got.server.Host != "mail.acme.example" {
		t.Errorf("a server is passed over: %+v", got)
	}
}

func TestDoctorLooksAtTheMailServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sink, err := localstack.StartSink(t.Context(), localstack.SinkOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	look := func(m mailServer) finding {
		var d doctor
		d.mail(t.Context(), m)
		if len(d.findings) != 1 {
			t.Fatalf("got %+v", d.findings)
		}
		return d.findings[0]
	}
	if f := look(mailServer{}); f.State != uneasy || !strings.Contains(f.Remedy, "SMTP_HOST") {
		t.Errorf("without a server: %+v", f)
	}
	var p problems
	_, port, _ := strings.Cut(sink.Addr(), ":")
	s := usualMail("127.0.0.1", "a@acme.example")
	s.SMTPPort = port
	if f := look(s.check(&p)); f.State != fine || p.err() != nil {
		t.Errorf("with a sink: %+v, %v", f, p.err())
	}
	if n := len(sink.Messages()); n != 0 {
		t.Errorf("it sent %d mails", n)
	}
	s.SMTPUser, s.SMTPPass = "user", "secret-word"
	if f := look(s.check(&p)); f.State != broken || !strings.Contains(f.Remedy, "SMTP_USER") || strings.Contains(f.Detail, "secret-word") {
		t.Errorf("with a login that it doesn't know: %+v", f)
	}
	s.SMTPSecure = "true"
	if f := look(s.check(&p)); f.State != broken || !strings.Contains(f.Remedy, "SMTP_SECURE") {
		t.Errorf("with TLS to a port without: %+v", f)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := sink.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if f := look(usual(port).check(&p)); f.State != broken || !strings.Contains(f.Remedy, "start the mail server") {
		t.Errorf("with nobody there: %+v", f)
	}
}

func usual(port string) mailSettings {
	s := usualMail("127.0.0.1", "a@acme.example")
	s.SMTPPort = port
	return s
}
