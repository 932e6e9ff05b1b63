package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

const (
	maxHeaderName  = 100
	maxHeaderValue = 2048
)

// Names of headers that a delivery has, in the order in which receivers read about them.
const (
	headerID            = "webhook-id"
	headerTimestamp     = "webhook-timestamp"
	headerSignature     = "webhook-signature"
	headerEvent         = "X-PayAid-Event"
	headerBodySignature = "X-Webhook-Signature"
)

// ownHeaders are ours to set, the connection's (RFC 9110, section 7.6.1), or would lead a receiver or what stands
// before it to take us for somebody else.
var ownHeaders = map[string]string{
	"host": "it says where the request goes", "content-length": "it is the body's", "content-type": "it is the body's",
	"content-encoding": "it is the body's", "content-range": "it is the body's", "user-agent": "it says who asks",
	"connection": "it is the connection's", "keep-alive": "it is the connection's", "te": "it is the connection's",
	"trailer": "it is the connection's", "transfer-encoding": "it is the connection's", "upgrade": "it is the connection's",
	"expect": "it is the connection's", "http2-settings": "it is the connection's", "accept-encoding": "answers are read as they are",
	"range": "answers are read as they are", "forwarded": "only proxies may say that", "via": "only proxies may say that",
	"x-real-ip": "only proxies may say that", "cf-connecting-ip": "only proxies may say that", "true-client-ip": "only proxies may say that", "x-client-ip": "only proxies may say that",
	"x-cluster-client-ip": "only proxies may say that", "x-original-url": "only proxies may say that", "x-rewrite-url": "only proxies may say that",
	"x-http-method-override": "a delivery is a POST", "x-http-method": "a delivery is a POST", "x-method-override": "a delivery is a POST",
	"traceparent": "it belongs to traces", "tracestate": "it belongs to traces", "baggage": "it belongs to traces",
}

// ownPrefixes are beginnings of such names.
var ownPrefixes = map[string]string{
	"webhook-": "those are the delivery's", "x-payaid-": "those are the delivery's", "x-webhook-": "those are the delivery's",
	"proxy-": "those are for proxies", "x-forwarded-": "only proxies may say that", "sec-": "browsers alone send those", ":": "",
}

// CheckHeader reports why a delivery can't have a header, in words for whoever wants it.
func CheckHeader(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || len(name) > maxHeaderName || strings.ContainsFunc(name, outsideNames):
		return fmt.Errorf("the name of a header has 1 to %d letters, digits and hyphens", maxHeaderName)
	case ownHeaders[lower] != "":
		return fmt.Errorf("%s can't be set: %s", name, ownHeaders[lower])
	}
	for prefix, why := range ownPrefixes {
		if strings.HasPrefix(lower, prefix) {
			return fmt.Errorf("%s can't be set: %s", name, why)
		}
	}
	if len(value) > maxHeaderValue {
		return fmt.Errorf("the value of a header has at most %d characters", maxHeaderValue)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("the value of a header is printable ASCII in one line")
	}
	if strings.TrimSpace(value) != value {
		return errors.New("the value of a header neither begins nor ends with a space")
	}
	return nil
}

// outsideNames is stricter than the token of RFC 9110: proxies drop names with other characters, or read an underscore as a
// hyphen.
func outsideNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

// Masked stands for a value that is not shown.
const Masked = "***"

// Hidden reports whether a header holds what opens something, so that no read and no log shows its value. It goes by the
// name, and rather hides one too many.
func Hidden(name string) bool {
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "webhook-") || lower == strings.ToLower(headerBodySignature) {
		return false
	}
	for _, part := range []string{"auth", "cookie", "token", "secret", "key", "pass", "pwd", "credential", "session", "signature", "jwt", "bearer"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

const (
	// Each attempt keeps its headers for a month, and strangers choose what is in them: so much of a value is kept, and
	// of all together.
	keptValue = 256
	keptHead  = 8 << 10
)

// masked is a copy that may be kept and shown, with names as http.Header has them: values that open something are masked, and
// what Postgres and terminals don't take is replaced. All that CheckHeader lets be sent finds room in it.
func masked(h http.Header) http.Header {
	out, left := make(http.Header, len(h)), keptHead
	for _, name := range slices.Sorted(maps.Keys(h)) {
		as := http.CanonicalHeaderKey(cut(printable(name), maxHeaderName))
		for _, v := range h[name] {
			if v = cut(printable(v), keptValue); Hidden(name) {
				v = Masked
			}
			if left -= len(as) + len(v); left < 0 {
				return out
			}
			out[as] = append(out[as], v)
		}
	}
	return out
}

// cut is the beginning of a text that is longer than most bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// printable replaces what isn't UTF-8, and what shows nothing but changes how a terminal or a page shows the rest: control
// characters, those of ISO 6429 beyond ASCII among them, and marks that turn the direction of writing.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
