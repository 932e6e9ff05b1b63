package cli

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/webhook"
)

func webhookDefaults() webhookSettings {
	return webhookSettings{webhookRules: webhookRules{WebhookAllowHTTP: "false"}}
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	var p problems
	if w := webhookDefaults().check(&p); w.policy.AllowHTTP || len(w.policy.Networks) != 0 || w.roots != nil {
		t.Errorf("by default: got %+v", w)
	}
	s := webhookDefaults()
	s.WebhookAllowHTTP, s.WebhookAllowNetworks = "true", "10.20.1.2/16, 192.0.2.7,, fd00::/8 ,::1"
	w := s.check(&p)
	var networks []string
	for _, n := range w.policy.Networks {
		networks = append(networks, n.String())
	}
	if got := strings.Join(networks, " "); !w.policy.AllowHTTP || got != "10.20.0.0/16 192.0.2.7/32 fd00::/8 ::1/128" {
		t.Errorf("got %v, %s", w.policy.AllowHTTP, got)
	}
	if err := p.err(); err != nil {
		t.Error(err)
	}
}

// All that is wrong is reported at once.
func TestWebhookSettingsAreChecked(t *testing.T) {
	t.Parallel()
	s := webhookDefaults()
	s.WebhookAllowHTTP, s.WebhookAllowNetworks, s.WebhookCAFile = "perhaps", "10.0.0.0/33,intranet", filepath.Join(t.TempDir(), "ca.pem")
	var p problems
	s.check(&p)
	err := p.err()
	if err == nil || len(p.list) != 4 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"WEBHOOK_ALLOW_HTTP: want true or false", `"10.0.0.0/33"`, `"intranet"`, "WEBHOOK_CA_FILE: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not have %s", err, part)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, p = webhookDefaults(), problems{}
	s.WebhookCAFile = empty
	if s.check(&p); p.err() == nil || !strings.Contains(p.err().Error(), "has no certificate") {
		t.Errorf("got %v", p.err())
	}
}

// Whoever is vouched for by the file is believed, and others by the system's as before.
func TestWebhookAuthoritiesComeBesidesTheSystems(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewTLSServer(nil)
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := webhookDefaults()
	s.WebhookCAFile, s.WebhookAllowNetworks = file, "127.0.0.1"
	send := func(s webhookSettings) webhook.Answer {
		var p problems
		client := s.check(&p).client()
		defer client.Close()
		if err := p.err(); err != nil {
			t.Fatal(err)
		}
		return client.Send(t.Context(), webhook.Request{URL: receiver.URL, ID: "id", Secrets: []string{webhook.NewSecret()}})
	}
	if a := send(s); a.StatusCode != 404 || !strings.HasPrefix(a.Request.Get("User-Agent"), "PayAid-Webhooks/") {
		t.Errorf("got %+v", a)
	}
	s.WebhookCAFile = ""
	if a := send(s); a.Code != webhook.TLS {
		t.Errorf("without the file: got %+v", a)
	}
}

func TestWebhooksWarn(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct{ http, networks, want string }{
		"nothing":  {"false", "", ""},
		"http":     {"true", "", "http=true networks=[]"},
		"networks": {"false", "10.0.0.0/8,::1", `http=false networks="[10.0.0.0/8 ::1/128]"`},
	} {
		s := webhookDefaults()
		s.WebhookAllowHTTP, s.WebhookAllowNetworks = c.http, c.networks
		var p problems
		var out bytes.Buffer
		s.check(&p).warn(slog.New(slog.NewTextHandler(&out, nil)))
		if got := out.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

// What strangers send unasked goes into no log: net/http writes it to the standard logger.
func TestTheStandardLoggerIsSilent(t *testing.T) {
	t.Parallel()
	if status := Main([]string{"version"}, io.Discard, io.Discard); status != 0 || log.Writer() != io.Discard {
		t.Errorf("status %d, and the standard logger writes to %T", status, log.Writer())
	}
}
