package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var someTime = time.Date(2027, 1, 31, 9, 30, 0, 0, time.UTC)

func TestCheckHeader(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"Authorization": "Bearer abc", "X-Api-Key": "k", "x-tenant": "", "Cookie": "a=b; c=d", "Idempotency-Key": "k", "Accept": "*/*", "CF-Access-Client-Id": "c",
		strings.Repeat("x", maxHeaderName): strings.Repeat("y", maxHeaderValue),
	} {
		if err := CheckHeader(name, value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "Host", "host", "HOST", "Content-Length", "Content-Type", "Content-Encoding", "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE",
		"Trailer", "Transfer-Encoding", "Upgrade", "Expect", "User-Agent", "webhook-id", "Webhook-Signature", "Webhook-Anything", "X-PayAid-Event", "x-webhook-signature",
		"X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Original-URL", "X-HTTP-Method", "Accept-Encoding", "Sec-Fetch-Mode", "traceparent", ":authority", "X Y", "X:Y", "X_Y", "X\r\nY", "Ünï",
		strings.Repeat("x", maxHeaderName+1),
	} {
		if err := CheckHeader(name, "x"); err == nil {
			t.Errorf("%q is let through", name)
		}
	}
	for _, value := range []string{"a\r\nB: c", "a\nb", "a\x00", "a\x7f", "a\tb", " hunter2", "hunter2 ", "ü", strings.Repeat("y", maxHeaderValue+1)} {
		if err := CheckHeader("X-Tenant", value); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%q: got %v", value, err)
		}
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-API-KEY", "ApiKey", "X-Auth", "X-Token",
		"X-Access-Token", "Client-Secret", "X-Password", "X-Passcode", "X-Session-Id", "X-Hub-Signature", "X-Goog-IAP-JWT-Assertion"} {
		if !Hidden(name) {
			t.Errorf("%s is shown", name)
		}
	}
	for _, name := range []string{"Content-Type", "X-Tenant", "Webhook-Id", "webhook-signature", "X-Webhook-Signature", "X-Payaid-Event", "Server", "Location", "Retry-After"} {
		if Hidden(name) {
			t.Errorf("%s is hidden", name)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "-5": 0, "1.5": 0, "soon": 0, "86401": maxRetryAfter, "9223372036854775808": maxRetryAfter,
		strings.Repeat("9", 50): maxRetryAfter, someTime.Add(90 * time.Second).Format("Mon, 02 Jan 2006 15:04:05 GMT"): 90 * time.Second,
		"Sunday, 31-Jan-27 09:31:00 GMT": time.Minute, someTime.Add(-time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"): 0, "Mon, 01 Jan 9999 00:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, someTime); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for _, long := range []string{strings.Repeat("₹", 200), strings.Repeat("x", 299) + "₹", strings.Repeat("\x00", 400), strings.Repeat("\xff", 400)} {
		if got := brief(long); len(got) > maxDetail || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\n") {
			t.Errorf("got %d bytes, %q", len(got), got)
		}
	}
	// What changes how a terminal or a page shows the rest.
	if got, want := brief("a\x1b[2Jb\u009b31mc\u202ed\u2066e"), "a\uFFFD[2Jb\uFFFD31mc\uFFFDd\uFFFDe"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := brief("as it is"); got != "as it is" {
		t.Errorf("got %q", got)
	}
}

// Strangers choose the headers that are kept with each attempt. What a delivery may have is kept, the delivery's own too.
func TestHeadsAreKeptInBounds(t *testing.T) {
	t.Parallel()
	h := http.Header{"Webhook-Id": {"w"}, "X-Payaid-Event": {"invoice.paid"}, "Idempotency-Key": nil}
	for i := range 20 {
		h[fmt.Sprintf("X-%02d%s", i, strings.Repeat("y", maxHeaderName-4))] = []string{strings.Repeat("z", maxHeaderValue)}
	}
	if got := masked(h); len(got) != 22 || got.Get("Webhook-Id") != "w" {
		t.Errorf("%d headers of a request are kept", len(got))
	}
	hostile := http.Header{"Many": make([]string, 4000), "Long": {strings.Repeat("\x00", 16<<10)}, strings.Repeat("N", 16<<10): {"v"}}
	for i := range hostile["Many"] {
		hostile["Many"][i] = "xy"
	}
	size := 0
	for name, values := range masked(hostile) {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size == 0 || size > keptHead {
		t.Errorf("%d bytes of an answer's head are kept", size)
	}
}
