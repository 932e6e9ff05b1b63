package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What became of an attempt that did not succeed, as clients read it.
const (
	InvalidURL     = "invalid_url"     // the policy has nothing sent there
	InvalidSecret  = "invalid_secret"  // nothing can be signed with what was given
	RefusedAddress = "refused_address" // the host's address isn't public
	DNS            = "dns"             // the host has no address
	Connect        = "connect"         // no connection came about
	TLS            = "tls"             // it can't be trusted, or encrypted
	Timeout        = "timeout"         // the time was over before there was an answer
	Protocol       = "protocol"        // what came was no HTTP, or too much of it, or nothing
	Redirect       = "redirect"        // it answered 3xx, which is not followed
	Gone           = "gone"            // it answered 410: it wants nothing more
	Status         = "status"          // it answered otherwise than 2xx
	Cancelled      = "cancelled"       // the caller gave up
)

// Answer is what became of an attempt. It is fit to be kept and shown: values of headers that open something are masked.
type Answer struct {
	StartedAt time.Time
	// Latency is from the start until all was done, the reading of the answer included.
	Latency time.Duration
	// Address is the address and port that the request went to, "" if there was no connection.
	Address string
	// StatusCode is 0 where there was no answer.
	StatusCode int
	// RetryAfter is how long the receiver asks to be left alone, a day at most; 0: it doesn't say.
	RetryAfter time.Duration
	// Request and Response are the headers of both. Request is empty where none was made, Response is nil where there was
	// no answer.
	Request, Response http.Header
	// Body is the beginning of the answer, 4 KiB at most.
	Body []byte
	// Code is "" for success, which is 2xx and nothing else; otherwise one of the constants. Detail says more for people,
	// in 300 bytes at most.
	Code, Detail string
}

// judge takes the status for what it means.
func (a *Answer) judge() {
	said := strings.TrimSpace("answered " + strconv.Itoa(a.StatusCode) + " " + http.StatusText(a.StatusCode))
	switch {
	case a.StatusCode >= 200 && a.StatusCode < 300:
	case a.StatusCode >= 300 && a.StatusCode < 400:
		a.Code, a.Detail = Redirect, said+"; redirects are not followed, so the URL must be the one where they lead"
	case a.StatusCode == http.StatusGone:
		a.Code, a.Detail = Gone, said+": it wants nothing more"
	default:
		a.Code, a.Detail = Status, said
	}
}

const (
	maxRetryAfter = 24 * time.Hour
	maxDetail     = 300
)

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3), and takes what it can't read for nothing.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return min(time.Duration(min(seconds, uint64(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if len(value) > 0 && strings.Trim(value, "0123456789") == "" {
		return maxRetryAfter // more seconds than a number holds
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// brief is a text that may be kept and shown.
func brief(s string) string {
	return cut(printable(s), maxDetail)
}
