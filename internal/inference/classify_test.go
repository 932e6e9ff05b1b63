package inference

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		headers string
		want    time.Duration
	}{
		{"Retry-After=7", 7 * time.Second},
		{"Retry-After=0.25", 250 * time.Millisecond},
		{"Retry-After=Sun, 22 Nov 2026 08:01:00 GMT", time.Minute},
		{"Retry-After=Sun, 22 Nov 2026 07:00:00 GMT", 0},
		{"Retry-After=-3", 0},
		{"Retry-After=NaN", 0},
		{"Retry-After=1e300", 0},
		{"", 0},
		{"X-Ratelimit-Limit-Tokens=8000;X-Ratelimit-Remaining-Tokens=0;X-Ratelimit-Reset-Tokens=7.66s", 7660 * time.Millisecond},
		{"X-Ratelimit-Limit-Requests=1000;X-Ratelimit-Remaining-Requests=0;X-Ratelimit-Reset-Requests=2m", 2 * time.Minute},
		{"X-Ratelimit-Limit-Requests=1000;X-Ratelimit-Remaining-Requests=5;X-Ratelimit-Reset-Requests=2m", 0},
		{"X-Ratelimit-Limit-Tokens=x;X-Ratelimit-Remaining-Tokens=y;X-Ratelimit-Reset-Tokens=z", 0},
	} {
		h := http.Header{}
		for pair := range strings.SplitSeq(tc.headers, ";") {
			name, value, _ := strings.Cut(pair, "=")
			h.Set(name, value)
		}
		if got := retryAfter(h, now); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.headers, got, tc.want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"has a host name that is not known":        &url.Error{Err: &net.OpError{Op: "dial", Err: &net.DNSError{Name: "secret"}}},
		"can't be reached":                         &url.Error{Err: &net.OpError{Op: "dial", Err: fmt.Errorf("i/o timeout")}},
		"closed the connection before it answered": &url.Error{Err: fmt.Errorf("EOF")},
	} {
		if f := unreachable(err); f.class != Unavailable || f.detail != want {
			t.Errorf("%v: %s %q, want %q", err, f.class, f.detail, want)
		}
	}
}

// TestLogsHideTexts logs everything that a caller may hold.
func TestLogsHideTexts(t *testing.T) {
	t.Parallel()
	var book logbook
	log := slog.New(slog.NewJSONHandler(&book, nil))
	log.Info("all", "prompt", Prompt{Messages: []Message{{"user", "hunter2"}}}, "answer", Answer{Text: "hunter2"},
		"config", Config{GroqKey: "hunter2", OllamaURL: "http://me:hunter2@host"}, "err", &Error{Class: Length, Partial: "hunter2"})
	if got := book.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, `"messages":1`) {
		t.Errorf("log %s", got)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	u, err := address("OLLAMA_URL", "models.local:11434")
	if err != nil || u.String() != "http://models.local:11434" {
		t.Errorf("%v, %v", u, err)
	}
	for _, bad := range []string{"http://%zz", "unix:///x", "http://"} {
		if _, err := address("OLLAMA_URL", bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestPrice(t *testing.T) {
	t.Parallel()
	// A million calls of 800 and 200 tokens cost 120 dollars at gpt-oss-20b.
	if got := defaultPrices["openai/gpt-oss-20b"].nanoUSD(800, 200); got*1e6 != 120e9 {
		t.Errorf("%d nano-USD a call, want 120000", got)
	}
	if got := (Price{In: 0.0375}).nanoUSD(4, 0); got != 150 {
		t.Errorf("%d nano-USD, want 150", got)
	}
}
