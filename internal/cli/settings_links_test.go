package cli

import (
	"bytes"
	"log/slog"
	"net/mail"
	"strings"
	"testing"

	ours "github.com/payaid/payaid/internal/mail"
)

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                "",
		"https://api.example.com":         "https://api.example.com",
		"https://api.example.com/":        "https://api.example.com",
		"https://example.com:8443/payaid": "https://example.com:8443/payaid",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080",
		"http://localhost:8080/":          "http://localhost:8080",
		"http://[::1]:8080":               "http://[::1]:8080",
	} {
		var p problems
		if got := (linkSettings{in}).check(&p); got != want || p.err() != nil {
			t.Errorf("%q: got %q, %v", in, got, p.err())
		}
	}
	for _, in := range []string{"api.example.com", "http://api.example.com", "ftp://example.com", "https://", "https://user:secret@example.com",
		"https://example.com?", "https://example.com/?a=b", "https://example.com/#x", "https://example.com/a b", "https://example.com/a,b", "https://bücher.example",
		"http://127.0.0.1.example.com", "https://example.com/" + strings.Repeat("x", 500), "https://example.com/\r\nBcc: x"} {
		var p problems
		(linkSettings{in}).check(&p)
		if p.err() == nil || !strings.Contains(p.err().Error(), "PUBLIC_URL: ") || strings.Contains(p.err().Error(), "secret") {
			t.Errorf("%q: %v", in, p.err())
		}
	}
}

// Who sends mail that nobody can unsubscribe from is told, at the start and by the doctor; who doesn't isn't.
func TestMailsWithoutLinksAreSaid(t *testing.T) {
	t.Parallel()
	server := mailServer{server: ours.Config{Host: "mail.example.com", Port: 587, Hello: "x.example.com"}, from: mail.Address{Address: "a@example.com"}}
	for name, c := range map[string]struct {
		server mailServer
		url    string
		queues map[string]int
		warned int
		found  string
	}{
		"a server":               {server, "", map[string]int{"mail": 1}, 1, uneasy},
		"a server and its links": {server, "https://api.example.com", map[string]int{"mail": 1}, 0, fine},
		"no server":              {mailServer{}, "", map[string]int{"mail": 1}, 0, ""},
		"another queue":          {server, "", map[string]int{"ai": 1}, 0, uneasy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			w := workerSetup{mail: c.server, publicURL: c.url, queues: c.queues}
			if _, _, err := w.mailing(nil, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "level=WARN"); n != c.warned || n > 0 && !strings.Contains(log.String(), "PUBLIC_URL") {
				t.Errorf("the log says %q", log.String())
			}
			var d doctor
			d.links(c.server, c.url)
			var got finding
			if len(d.findings) > 0 {
				got = d.findings[0]
			}
			if got.State != c.found || c.found == uneasy && !strings.Contains(got.Remedy, "PUBLIC_URL") {
				t.Errorf("the doctor says %+v", d.findings)
			}
		})
	}
}
