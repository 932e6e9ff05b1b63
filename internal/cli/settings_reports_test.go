package cli

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

func TestMailBounces(t *testing.T) {
	t.Parallel()
	var p problems
	if b := (bounceSettings{"Bounces@Example.com"}).check(&p); b.String() != "bounces@example.com" {
		t.Errorf("got %q", b)
	}
	if b := (bounceSettings{}).check(&p); !b.IsZero() || p.err() != nil {
		t.Errorf("got %q, %v", b, p.err())
	}
	if (bounceSettings{"bounces+x@example.com"}).check(&p); p.err() == nil || !strings.Contains(p.err().Error(), "MAIL_BOUNCES: ") {
		t.Errorf("got %v", p.err())
	}
}

// LMTP has no login, so it listens to this machine unless somebody says who else may come.
func TestLMTPListen(t *testing.T) {
	t.Parallel()
	for _, ok := range []inboxSettings{{}, {LMTPListen: "127.0.0.1:2424"}, {LMTPListen: "localhost:2424"}, {LMTPListen: "[::1]:2424"},
		{LMTPListen: "0.0.0.0:2424", LMTPAllow: "172.16.0.0/12, 192.0.2.7"}, {LMTPListen: ":2424", LMTPAllow: "10.0.0.1"}} {
		var p problems
		if in := ok.check(&p, "bounces@example.com"); p.err() != nil || in.listen != ok.LMTPListen {
			t.Errorf("%+v: %+v, %v", ok, in, p.err())
		}
	}
	for _, bad := range []struct {
		settings inboxSettings
		names    string
	}{
		{inboxSettings{LMTPListen: "2424"}, "LMTP_LISTEN: "},
		{inboxSettings{LMTPListen: ":2424"}, "LMTP_ALLOW"},
		{inboxSettings{LMTPListen: "0.0.0.0:2424"}, "LMTP_ALLOW"},
		{inboxSettings{LMTPListen: "mail.example.com:24"}, "LMTP_ALLOW"},
		{inboxSettings{LMTPListen: "127.0.0.1.example.com:24"}, "LMTP_ALLOW"},
		{inboxSettings{LMTPListen: "127.0.0.1:2424", LMTPAllow: "mailserver"}, "LMTP_ALLOW: "},
	} {
		var p problems
		if bad.settings.check(&p, "bounces@example.com"); p.err() == nil || !strings.Contains(p.err().Error(), bad.names) {
			t.Errorf("%+v: %v", bad.settings, p.err())
		}
	}
}

func TestLMTPListenNeedsAnAddress(t *testing.T) {
	t.Parallel()
	var p problems
	if (inboxSettings{LMTPListen: "127.0.0.1:2424"}).check(&p, ""); p.err() == nil || !strings.Contains(p.err().Error(), "MAIL_BOUNCES: ") {
		t.Errorf("got %v", p.err())
	}
}

func TestDoctorLooksForReports(t *testing.T) {
	t.Parallel()
	bounces, err := ticket.ParseBounces("bounces@example.com")
	if err != nil {
		t.Fatal(err)
	}
	look := func(b ticket.Bounces, in inbox) finding {
		var d doctor
		d.reports(t.Context(), b, in)
		if len(d.findings) != 1 || d.findings[0].State != fine && d.findings[0].Remedy == "" {
			t.Fatalf("got %+v", d.findings)
		}
		return d.findings[0]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := inbox{listen: l.Addr().String()}
	if f := look(ticket.Bounces{}, inbox{}); f.State != uneasy || !strings.Contains(f.Detail, "SMTP_FROM") {
		t.Errorf("without an address: %+v", f)
	}
	if f := look(bounces, inbox{}); f.State != uneasy {
		t.Errorf("without a listener: %+v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- mail.NewInbox(mail.InboxConfig{Reports: jobs.NewMailReports(jobs.Deps{}), Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	if f := look(bounces, in); f.State != fine {
		t.Errorf("with a worker: %+v", f)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if f := look(bounces, in); f.State != broken {
		t.Errorf("without a worker: %+v", f)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		if c, err := other.Accept(); err == nil {
			_, _ = io.WriteString(c, "+OK this is POP3\r\n")
			_ = c.Close()
		}
	}()
	if f := look(bounces, inbox{listen: other.Addr().String()}); f.State != broken || !strings.Contains(f.Detail, "POP3") {
		t.Errorf("with somebody else: %+v", f)
	}
}
