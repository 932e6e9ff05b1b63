package edge

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Plain HTTP leads to TLS, and answers what an authority asks before it gives a certificate.
func plainHTTP(t *testing.T, s *site) {
	c := stranger(t, s.nginx.HTTPS(), either)
	c.url = "http://" + s.nginx.HTTP()
	r := c.ask(t, "POST", "/api/jobs?limit=3", "{}").want(308)
	if got := r.Header.Get("Location"); got != "https://crm.example.in/api/jobs?limit=3" {
		t.Errorf("it leads to %s", got)
	}
	if r.Header.Get("Strict-Transport-Security") != "" || r.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("got %v", r.Header)
	}
	challenge := filepath.Join(s.nginx.ACME(), ".well-known", "acme-challenge")
	if err := os.MkdirAll(challenge, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(challenge, "token"), []byte("token.thumbprint"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := c.ask(t, "GET", "/.well-known/acme-challenge/token", "").want(200).body; got != "token.thumbprint" {
		t.Errorf("got %q", got)
	}
	var p problem
	c.ask(t, "GET", "/.well-known/acme-challenge/other", "").want(404).json(&p)
	if p.Code != "not_found" {
		t.Errorf("got %+v", p)
	}
	request, _ := http.NewRequest("GET", c.url, nil)
	request.URL.Opaque = "/.well-known/acme-challenge/../../../etc/nginx.conf"
	if answer, err := c.http.Do(request); err != nil || answer.StatusCode == 200 {
		t.Errorf("a path that leads out: %v, %v", answer, err)
	}
}

// What is for those inside isn't answered to strangers.
func hidden(t *testing.T, s *site) {
	c := stranger(t, s.nginx.HTTPS(), either)
	for _, path := range []string{"/metrics", "/metrics/x", "/nginx-health", "/nginx_status", "//metrics", "/api/../metrics"} {
		r := c.ask(t, "GET", path, "")
		if r.StatusCode == 200 || strings.Contains(r.body, "# HELP") {
			t.Errorf("%s: got %s", path, r.Status)
		}
	}
	health, err := http.Get("http://" + s.nginx.Health() + "/nginx-health")
	if err != nil || health.StatusCode != 200 {
		t.Errorf("health: got %v, %v", health, err)
	}
}

// Who never comes to the end of a request's head isn't waited for.
func slowHeads(t *testing.T, s *site) {
	conn, err := tls.Dial("tcp", s.nginx.HTTPS(), &tls.Config{RootCAs: trusted()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: crm.example.in\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	// One byte a second keeps nobody up: the time is for the whole head.
	dripping := make(chan struct{})
	go func() {
		defer close(dripping)
		for range time.Tick(time.Second) {
			if _, err := io.WriteString(conn, "x"); err != nil {
				return
			}
		}
	}()
	if err := conn.SetReadDeadline(began.Add(patience)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if took := time.Since(began); took < 5*time.Second || took > 30*time.Second {
		t.Errorf("the connection ended after %s with %q, %v", took, got, err)
	}
	_ = conn.Close()
	<-dripping
}

// `payaid doctor` finds nothing to mend in what it can see from outside.
func doctor(t *testing.T, s *site) {
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, []byte(identity().certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.run(t, []string{"SSL_CERT_FILE=" + authority}, "doctor", "--json", "--no-model", "--url", "https://"+s.nginx.HTTPS())
	<-r.exited
	said := r.out.String()
	var report struct {
		Findings []struct{ Check, State, Detail string }
	}
	start := strings.IndexByte(said, '{')
	if start < 0 || json.NewDecoder(strings.NewReader(said[start:])).Decode(&report) != nil {
		t.Fatalf("got %s", said)
	}
	states := map[string]string{}
	for _, f := range report.Findings {
		states[f.Check] = f.State
		if f.State != "ok" {
			t.Logf("%s: %s: %s", f.Check, f.State, f.Detail)
		}
	}
	for _, check := range []string{"certificate", "api", "security headers", "rate limit"} {
		if states[check] != "ok" {
			t.Errorf("%s is %q", check, states[check])
		}
	}
	if state, said := states["server banner"]; said {
		t.Errorf("server banner is %q", state)
	}
}
