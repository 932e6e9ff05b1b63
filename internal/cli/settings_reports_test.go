package cli

import (
	"strings"
	"testing"
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
		if in := ok.check(&p); p.err() != nil || in.listen != ok.LMTPListen {
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
		if bad.settings.check(&p); p.err() == nil || !strings.Contains(p.err().Error(), bad.names) {
			t.Errorf("%+v: %v", bad.settings, p.err())
		}
	}
}
