package cli

import (
	"strings"
	"testing"
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
